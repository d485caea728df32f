-- The inner query keeps its ORDER BY and so runs once a series, in the order of the list; whoever reads checks both.
COPY (
    SELECT wanted.position::int4, found."timestamp", found.value
    FROM unnest(ARRAY[$1]::int4[]) WITH ORDINALITY AS wanted (series_id, position)
    CROSS JOIN LATERAL (
        SELECT points."timestamp", points.value
        FROM points
        WHERE points.series_id = wanted.series_id AND points."timestamp" >= $2 AND points."timestamp" < $3
        ORDER BY points."timestamp"
        LIMIT $4
    ) AS found
    LIMIT $4
) TO STDOUT (FORMAT binary)
