-- A refresh by hand, for old points that came in while refreshes looked back less far. refresh_continuous_aggregate without an end
-- would move the watermark past buckets that are still open, and what arrives in them would be missing from then on; over dropped
-- points it would erase what was made of them. This refreshes whole days (UTC), finest rollup first, up to the last bucket that
-- is over, and from the oldest one that is kept.
CREATE PROCEDURE refresh_rollups(range_start timestamptz, range_end timestamptz)
LANGUAGE plpgsql
AS $$
DECLARE
    rollup record;
    first_bucket timestamptz;
    last_end timestamptz;
BEGIN
    IF range_start IS NULL OR range_end IS NULL OR NOT isfinite(range_start) OR NOT isfinite(range_end) OR range_start >= range_end THEN
        RAISE EXCEPTION 'the range from % to % has no end or no length: name a start and a later end',
                        coalesce(range_start::text, 'null'), coalesce(range_end::text, 'null');
    END IF;
    PERFORM set_config('enable_sort', 'off', false); -- as in step 14
    FOR rollup IN
        SELECT settings.relation, settings.bucket, under.kept, catalog.raw_hypertable_id,
               CASE settings.bucket WHEN INTERVAL '1 minute' THEN 1440 WHEN INTERVAL '1 hour' THEN 744 ELSE 31 END AS batch
        FROM history_settings() AS settings
        JOIN history_settings() AS under ON under.relation = settings.source
        JOIN _timescaledb_catalog.continuous_agg AS catalog
            ON catalog.user_view_schema = current_schema() AND catalog.user_view_name = settings.relation
    LOOP
        SELECT greatest(time_bucket(INTERVAL '1 day', refresh_rollups.range_start),
                        time_bucket(INTERVAL '1 day', now() - rollup.kept) + INTERVAL '1 day',
                        _timescaledb_functions.to_timestamp(min(slice.range_start)))
        INTO first_bucket
        FROM _timescaledb_catalog.dimension_slice AS slice
        JOIN _timescaledb_catalog.dimension ON dimension.id = slice.dimension_id
        WHERE dimension.hypertable_id = rollup.raw_hypertable_id
        HAVING count(*) > 0;
        last_end := least(time_bucket(INTERVAL '1 day', range_end - INTERVAL '1 microsecond') + INTERVAL '1 day',
                          time_bucket(rollup.bucket, now()));
        IF first_bucket < last_end THEN
            CALL refresh_continuous_aggregate(rollup.relation::regclass, first_bucket, last_end,
                                              options => jsonb_build_object('buckets_per_batch', rollup.batch));
            COMMIT; -- what was changed is noted for the next rollup
        END IF;
    END LOOP;
    RESET enable_sort;
END
$$;

-- A job that was running when the database crashed is not started again for five minutes and more, and each change of any job
-- begins these anew; no setting of the job shortens that. Refreshes run often, so a crash is likely to catch one. This job hardly
-- ever runs, so it goes on after a crash at once, and runs the refreshes that wait. It does so after the first crash only: a refresh that
-- brings the database down again is left to wait.
CREATE PROCEDURE refresh_after_crash(job_id int, config jsonb)
LANGUAGE plpgsql
AS $$
DECLARE
    waiting record;
BEGIN
    -- A run counts as a crash until it ends. One that is under way is seen among the sessions, soon after it was started.
    FOR waiting IN
        SELECT jobs.job_id, jobs.config
        FROM timescaledb_information.jobs
        JOIN _timescaledb_internal.bgw_job_stat AS stat USING (job_id)
        WHERE jobs.proc_schema = 'public' AND jobs.proc_name = 'refresh_rollup' AND jobs.scheduled
          AND stat.consecutive_crashes = 1 AND stat.last_start < now() - INTERVAL '10 seconds'
          AND NOT EXISTS (SELECT FROM pg_stat_activity AS session
                          WHERE session.datname = current_database() AND session.application_name = jobs.application_name)
        ORDER BY jobs.job_id
    LOOP
        CALL refresh_rollup(waiting.job_id, waiting.config);
    END LOOP;
END
$$;

SELECT add_job('refresh_after_crash', INTERVAL '1 minute', fixed_schedule => false, job_name => 'Refresh After Crash');
