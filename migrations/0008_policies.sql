-- Each rollup's window reaches as far back as late points are accepted (30 days), plus the time until it runs next and
-- the buckets of the levels under it. It must stay short of the retention of raw points, which is off: refreshing over
-- dropped raw points erases their aggregates.
SELECT add_continuous_aggregate_policy('points_1min',
    start_offset => INTERVAL '31 days', end_offset => INTERVAL '1 minute', schedule_interval => INTERVAL '1 minute');
SELECT add_continuous_aggregate_policy('points_1hour',
    start_offset => INTERVAL '32 days', end_offset => INTERVAL '1 hour', schedule_interval => INTERVAL '1 hour');
SELECT add_continuous_aggregate_policy('points_1day',
    start_offset => INTERVAL '34 days', end_offset => INTERVAL '1 day', schedule_interval => INTERVAL '1 day');

CALL add_columnstore_policy('points', after => INTERVAL '7 days');
