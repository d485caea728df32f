-- Returns one row without timestamp if no point is an anomaly.
WITH wanted AS (
    SELECT series_id FROM series WHERE device_id = $1 AND metric_name = $2
), baseline AS (
    SELECT sum(sum_value) / sum(count) AS mean,
           sqrt(combine_variance(ARRAY[count::float8, sum_value, variance * count])
                * sum(count)::float8 / (sum(count)::float8 - 1)) AS stddev
    FROM points_1min
    WHERE series_id = (SELECT series_id FROM wanted) AND bucket >= $3 AND bucket < $4
)
SELECT mean,
       stddev,
       (SELECT count(*)
        FROM points
        WHERE series_id = (SELECT series_id FROM wanted)
          AND "timestamp" >= $4 AND "timestamp" < $5),
       outside."timestamp",
       outside.value
FROM baseline
LEFT JOIN LATERAL (
    SELECT "timestamp", value
    FROM points
    WHERE series_id = (SELECT series_id FROM wanted) AND "timestamp" >= $4 AND "timestamp" < $5
      AND (value < mean - 3 * stddev OR value > mean + 3 * stddev)
) AS outside ON true
ORDER BY outside."timestamp"
