-- An index lookup a series and chunk, the newest chunk first. Sorting by value too would read every chunk, so the greatest of
-- several values of the newest timestamp is looked up only where the two newest points have one timestamp.
SELECT wanted.position,
       newest."timestamp",
       CASE WHEN newest.is_tied THEN
           (SELECT max(points.value)
            FROM points
            WHERE points.series_id = wanted.series_id AND points."timestamp" = newest."timestamp")
       ELSE newest.value END
FROM unnest($1::int4[]) WITH ORDINALITY AS wanted (series_id, position)
CROSS JOIN LATERAL (
    SELECT max(two."timestamp") AS "timestamp",
           last(two.value, two."timestamp") AS value,
           count(*) = 2 AND min(two."timestamp") = max(two."timestamp") AS is_tied
    FROM (
        SELECT points."timestamp", points.value
        FROM points
        WHERE points.series_id = wanted.series_id AND points."timestamp" >= $2
        ORDER BY points."timestamp" DESC
        LIMIT 2
    ) AS two
    HAVING count(*) > 0
) AS newest
