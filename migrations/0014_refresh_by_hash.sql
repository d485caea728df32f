-- A refresh groups points by series and minute. Once a chunk has been analysed, the planner takes the number of distinct
-- timestamps for that of minutes, expects a group for each point, and sorts them all on disk: beside full load, 45 million points
-- took 140 s and 3.2 GB of temporary files, and every COMMIT waited for those to be written (on 2.28). By hash it takes as
-- much memory as there are groups.
--
-- The policies run through this procedure from now on, with the offsets and the schedule that they have; paused ones stay so. The setting cannot
-- be local to a transaction, for a refresh is several; it ends with the job.
CREATE PROCEDURE refresh_rollup(job_id int, config jsonb)
LANGUAGE plpgsql
AS $$
BEGIN
    PERFORM set_config('enable_sort', 'off', false);
    CALL _timescaledb_functions.policy_refresh_continuous_aggregate(job_id, config);
    RESET enable_sort;
END
$$;

DO $$
DECLARE
    policy record;
BEGIN
    FOR policy IN
        SELECT jobs.*, rollup.user_view_name
        FROM timescaledb_information.jobs
        JOIN _timescaledb_catalog.continuous_agg AS rollup
            ON rollup.mat_hypertable_id = (jobs.config ->> 'mat_hypertable_id')::int
        WHERE jobs.proc_name = 'policy_refresh_continuous_aggregate'
          AND rollup.user_view_schema = 'public'
          AND rollup.user_view_name IN ('points_1min', 'points_1hour', 'points_1day')
        ORDER BY jobs.job_id -- the finest rollup first
    LOOP
        PERFORM alter_job(
            add_job('refresh_rollup', policy.schedule_interval, config => policy.config, fixed_schedule => false,
                    scheduled => policy.scheduled,
                    check_config => '_timescaledb_functions.policy_refresh_continuous_aggregate_check',
                    job_name => 'Refresh Rollup ' || policy.user_view_name),
            max_runtime => policy.max_runtime,
            max_retries => policy.max_retries,
            retry_period => policy.retry_period
        );
        PERFORM delete_job(policy.job_id);
    END LOOP;
END
$$;
