-- The ORDER BY with LIMIT keeps the lateral query from being flattened, so it runs once per series,
-- in list order. The decoder rejects rows that are out of order.
COPY (
    SELECT wanted.position::int4, found."timestamp", found.value
    FROM unnest(ARRAY[$1]::int4[]) WITH ORDINALITY AS wanted (series_id, position)
    CROSS JOIN LATERAL (
        SELECT points."timestamp", points.value
        FROM points
        WHERE points.series_id = wanted.series_id
          AND points."timestamp" >= $2 AND points."timestamp" < $3
        ORDER BY points."timestamp"
        LIMIT $4
    ) AS found
    LIMIT $4
) TO STDOUT (FORMAT binary)
