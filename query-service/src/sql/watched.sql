-- OFFSET 0 keeps the planner from flattening the lateral query, so it does one index lookup per
-- series whatever the size of the arrays. The cursor ($4 to $6) is the last row of the previous
-- page.
SELECT watched.series_id, found."timestamp", found.value
FROM unnest($1::int4[], $2::float8[], $3::float8[]) AS watched (series_id, lower_bound, upper_bound)
CROSS JOIN LATERAL (SELECT points."timestamp", points.value
                    FROM points
                    WHERE points.series_id = watched.series_id
                      AND points."timestamp" >= $4 AND points."timestamp" < $7
                      AND (points.value < watched.lower_bound OR points.value > watched.upper_bound)
                    OFFSET 0) AS found
WHERE (found."timestamp", watched.series_id, found.value) > ($4, $5, $6)
ORDER BY found."timestamp", watched.series_id, found.value
LIMIT $8
