-- An index lookup a series and chunk, the newest chunk first.
SELECT wanted.position, newest."timestamp", newest.value
FROM unnest($1::int4[]) WITH ORDINALITY AS wanted (series_id, position)
CROSS JOIN LATERAL (
    SELECT points."timestamp", points.value
    FROM points
    WHERE points.series_id = wanted.series_id AND points."timestamp" >= $2
    ORDER BY points."timestamp" DESC, points.value DESC
    LIMIT 1
) AS newest
