SELECT series_id, "timestamp", value
FROM points
WHERE series_id = ANY($1) AND "timestamp" >= $2 AND "timestamp" < $3
ORDER BY "timestamp"
LIMIT $4
