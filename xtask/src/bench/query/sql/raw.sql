SELECT "timestamp", value
FROM points
WHERE series_id = (SELECT series_id FROM series WHERE device_id = $1 AND metric_name = $2)
  AND "timestamp" >= $3 AND "timestamp" < $4
ORDER BY "timestamp"
