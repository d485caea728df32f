SELECT bucket, sum_value / count, min_value, max_value
FROM points_1hour
WHERE series_id = (SELECT series_id FROM series WHERE device_id = $1 AND metric_name = $2)
  AND bucket >= $3 AND bucket < $4
ORDER BY bucket
