CREATE MATERIALIZED VIEW points_1hour
WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS
SELECT time_bucket(INTERVAL '1 hour', bucket) AS bucket,
       series_id,
       sum(count)::int8            AS count,
       sum(sum_value)              AS sum_value,
       min(min_value)              AS min_value,
       max(max_value)              AS max_value,
       first(first_value, bucket)  AS first_value,
       last(last_value, bucket)    AS last_value,
       combine_variance(ARRAY[count::float8, sum_value, variance * count]) AS variance
FROM points_1min
GROUP BY time_bucket(INTERVAL '1 hour', bucket), series_id
WITH NO DATA;
