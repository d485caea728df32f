unnest($1) AS wanted (series_id)
CROSS JOIN LATERAL (
    SELECT bucket, count, sum_value, min_value, max_value, first_value, last_value, variance
    FROM {relation} AS stored
    WHERE stored.series_id = wanted.series_id AND bucket >= $2 AND bucket < $3
    OFFSET 0
) AS found
