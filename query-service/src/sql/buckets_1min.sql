SELECT bucket, count, sum_value, min_value, max_value, first_value, last_value, variance
FROM points_1min
WHERE series_id = $1 AND bucket >= $2 AND bucket < $3
ORDER BY bucket
LIMIT $4
