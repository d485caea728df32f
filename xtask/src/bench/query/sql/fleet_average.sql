SELECT bucket, sum(sum_value) / sum(count)
FROM points_1hour
WHERE series_id = ANY ($1) AND bucket >= $2 AND bucket < $3
GROUP BY bucket
ORDER BY bucket
