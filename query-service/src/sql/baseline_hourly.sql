-- Hours of the week are numbered from Thursday 00:00 UTC, when the Unix epoch began. Adding 168
-- before the second remainder keeps the number positive for times before the epoch.
SELECT ((date_part('epoch', bucket)::int8 / 3600 % 168 + 168) % 168)::int4 AS hour_of_week,
       sum(count)::int8,
       sum(sum_value),
       min(min_value),
       max(max_value),
       combine_variance(ARRAY[count::float8, sum_value, variance * count])
FROM {relation}
WHERE series_id = $1 AND bucket >= $2 AND bucket < $3
GROUP BY hour_of_week
