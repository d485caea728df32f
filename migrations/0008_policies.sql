-- Each rollup's window reaches as far back as late points are accepted (30 days), plus the time until it runs next and
-- the buckets of the levels under it. It must stay short of the retention of raw points, which is off: refreshing over
-- dropped raw points erases their aggregates.
--
-- All three look every minute, so that late points reach every level within minutes: a run that finds nothing to do costs
-- next to nothing, and the end offset keeps the hour and the day that are still open out of it.
--
-- A refresh goes in batches of days: the default, a few buckets a batch, took 81 s where a day a batch takes half a second
-- (100,000 late points of one series, on 2.23).
SELECT add_continuous_aggregate_policy('points_1min', buckets_per_batch => 1440,
    start_offset => INTERVAL '31 days', end_offset => INTERVAL '1 minute', schedule_interval => INTERVAL '1 minute');
SELECT add_continuous_aggregate_policy('points_1hour', buckets_per_batch => 24 * 31,
    start_offset => INTERVAL '32 days', end_offset => INTERVAL '1 hour', schedule_interval => INTERVAL '1 minute');
SELECT add_continuous_aggregate_policy('points_1day', buckets_per_batch => 31,
    start_offset => INTERVAL '34 days', end_offset => INTERVAL '1 day', schedule_interval => INTERVAL '1 minute');

CALL add_columnstore_policy('points', after => INTERVAL '7 days');
