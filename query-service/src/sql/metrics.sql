-- Skips from one name to the next through the index: the cost depends on the number of names, not
-- of series.
WITH RECURSIVE names (metric_name) AS (
    (SELECT metric_name
     FROM series
     WHERE metric_name >= $1 AND ($2::text IS NULL OR metric_name < $2) AND metric_name > $3
     ORDER BY metric_name
     LIMIT 1)
    UNION ALL
    SELECT (SELECT series.metric_name
            FROM series
            WHERE series.metric_name > names.metric_name
              AND ($2::text IS NULL OR series.metric_name < $2)
            ORDER BY series.metric_name
            LIMIT 1)
    FROM names
    WHERE names.metric_name IS NOT NULL
)
SELECT metric_name FROM names WHERE metric_name IS NOT NULL LIMIT $4
