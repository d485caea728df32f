-- Compresses points after 7 days. compact_closed_chunks does not depend on it.
CALL add_columnstore_policy('points', after => INTERVAL '7 days');

SELECT add_job('forget_idle_producers', INTERVAL '1 day', config => '{"idle_after": "60 days"}');
SELECT add_job('compact_closed_chunks', INTERVAL '1 hour', config => '{"closed_for": "1 hour"}');

-- The refresh jobs, the finest rollup first. A window starts at the accepted age of points (30
-- days), plus time until the next run and the buckets of the levels below. It must stay within the
-- retention of the level below, because a refresh over dropped points erases their rollup rows.
-- set_accepted_age and set_retention change these settings together.
--
-- All three run every minute, so that late points reach every level within minutes. A run without
-- work costs almost nothing. The end offset excludes the bucket that is still open.
--
-- Batches are days of minutes, or months of hours. With the default, a few buckets per batch, a
-- refresh took 81 s instead of 0.5 s (100,000 late points of one series, on 2.23). Days have no
-- batches: TimescaleDB 2.23 loses the last bucket of a refresh in batches if only its first row of
-- the level below has changed, such as the first hour of a day.
SELECT alter_job(
    add_job('refresh_rollup', INTERVAL '1 minute',
            config => jsonb_build_object('mat_hypertable_id', rollup.mat_hypertable_id,
                                         'start_offset', wanted.start_offset,
                                         'end_offset', wanted.end_offset,
                                         'buckets_per_batch', wanted.buckets_per_batch),
            fixed_schedule => false,
            check_config => '_timescaledb_functions.policy_refresh_continuous_aggregate_check',
            job_name => 'Refresh Rollup ' || wanted.relation),
    retry_period => INTERVAL '1 minute')
FROM (VALUES (1, 'points_1min', INTERVAL '31 days', INTERVAL '1 minute', 1440),
             (2, 'points_1hour', INTERVAL '32 days', INTERVAL '1 hour', 24 * 31),
             (3, 'points_1day', INTERVAL '34 days', INTERVAL '1 day', 0))
     AS wanted (level, relation, start_offset, end_offset, buckets_per_batch)
JOIN _timescaledb_catalog.continuous_agg AS rollup
    ON rollup.user_view_schema = current_schema() AND rollup.user_view_name = wanted.relation
ORDER BY wanted.level;

SELECT add_job('refresh_after_crash', INTERVAL '1 minute', fixed_schedule => false,
               job_name => 'Refresh After Crash');
