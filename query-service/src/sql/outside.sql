SELECT "timestamp", value
FROM points
WHERE series_id = $1 AND "timestamp" >= $2 AND "timestamp" < $3 AND (value < $4 OR value > $5)
ORDER BY "timestamp", value
LIMIT $6
