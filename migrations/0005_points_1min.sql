CREATE MATERIALIZED VIEW points_1min
WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS
SELECT time_bucket(INTERVAL '1 minute', "timestamp") AS bucket,
       series_id,
       count(*)                    AS count,
       sum(value)                  AS sum_value,
       min(value)                  AS min_value,
       max(value)                  AS max_value,
       first(value, "timestamp")   AS first_value,
       last(value, "timestamp")    AS last_value,
       var_pop(value)              AS variance
FROM points
GROUP BY bucket, series_id
WITH NO DATA;
