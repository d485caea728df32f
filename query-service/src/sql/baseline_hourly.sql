-- The hours of the week count from Thursday 00:00 UTC, as the Unix epoch began; the times before it as those after it.
SELECT ((date_part('epoch', bucket)::int8 / 3600 % 168 + 168) % 168)::int4 AS hour_of_week,
       sum(count)::int8,
       sum(sum_value),
       min(min_value),
       max(max_value),
       combine_variance(ARRAY[count::float8, sum_value, variance * count])
FROM {relation}
WHERE series_id = $1 AND bucket >= $2 AND bucket < $3
GROUP BY hour_of_week
