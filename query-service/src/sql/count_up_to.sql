SELECT count(*)
FROM (
    SELECT FROM points WHERE series_id = ANY($1) AND "timestamp" >= $2 AND "timestamp" < $3 LIMIT $4
) AS found
