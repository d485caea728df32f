COPY (
    SELECT "timestamp", value
    FROM points
    WHERE series_id = $1 AND "timestamp" >= $2 AND "timestamp" < $3
    ORDER BY "timestamp"
    LIMIT $4
) TO STDOUT (FORMAT binary)
