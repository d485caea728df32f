-- The variance is that of leading bits plus rest: var(a + b) = var(a) + var(b) + 2 cov(a, b). The three sums come from one
-- pass, for PostgreSQL lets aggregates of one family share their state.
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
       (regr_sxx(value - leading_bits(value), leading_bits(value))
        + regr_syy(value - leading_bits(value), leading_bits(value))
        + 2 * regr_sxy(value - leading_bits(value), leading_bits(value))) / count(*) AS variance
FROM points
GROUP BY bucket, series_id
WITH NO DATA;
