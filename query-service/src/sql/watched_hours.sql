-- The interval is needed for minutes that are computed from points: the list of hours does not
-- restrict their scan.
SELECT series_id,
       sum(count)::int8,
       sum(sum_value),
       min(min_value),
       max(max_value),
       combine_variance(ARRAY[count::float8, sum_value, variance * count])
FROM {relation}
WHERE series_id = ANY($1) AND bucket >= $2 AND bucket < $3 AND {hour} = ANY($4)
GROUP BY series_id
