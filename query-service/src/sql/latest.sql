-- Looks up the newest timestamp of each series, then the greatest value that the series has at it.
-- The second lookup does not rely on the order of points: a plan that was made while a chunk was in
-- order may be used after a flush ended that order (docs/decisions/0003). Such a plan finds the
-- newest timestamp, but perhaps not all of its values.
SELECT wanted.position,
       newest."timestamp",
       (SELECT max(points.value)
        FROM points
        WHERE points.series_id = wanted.series_id
          AND points."timestamp" = newest."timestamp"
          AND points."timestamp" >= $2) -- excludes older chunks once, not for each series
FROM unnest($1::int4[]) WITH ORDINALITY AS wanted (series_id, position)
CROSS JOIN LATERAL (
    SELECT points."timestamp"
    FROM points
    WHERE points.series_id = wanted.series_id AND points."timestamp" >= $2
    ORDER BY points."timestamp" DESC
    LIMIT 1
) AS newest
