SELECT series_id, device_id
FROM series
WHERE metric_name = $1 AND device_id >= $2 AND ($3::text IS NULL OR device_id < $3)
ORDER BY device_id
LIMIT $4
