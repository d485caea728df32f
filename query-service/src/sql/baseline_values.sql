SELECT value FROM points WHERE series_id = $1 AND "timestamp" >= $2 AND "timestamp" < $3 LIMIT $4
