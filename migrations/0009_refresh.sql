-- The procedures that refresh the rollups: as a job, by hand, and after a crash.
--
-- A refresh groups points by series and minute. Once a chunk has been analysed, the planner
-- mistakes the number of distinct timestamps for that of minutes. It expects one group per point,
-- and sorts all points on disk. On 2.28 under full load, 45 million points took 140 s and 3.2 GB of
-- temporary files, and every COMMIT waited for these writes. Grouped by hash, it needs memory
-- for the groups only. Refreshes therefore run with enable_sort off. The setting cannot be local to
-- a transaction, because a refresh is several transactions.

-- Refreshes the rollup of a job's configuration over its window, except the rows that cannot be
-- computed. It fails at its end if there are any.
CREATE PROCEDURE refresh_rollup_window(job_id int, config jsonb)
LANGUAGE plpgsql
AS $$
DECLARE
    refreshed text;
    width interval;
    window_start timestamptz;
    window_end timestamptz;
    failing record;
BEGIN
    PERFORM set_config('enable_sort', 'off', false);
    SELECT user_view_name, bucket_width::interval
    INTO STRICT refreshed, width
    FROM _timescaledb_catalog.continuous_agg
    JOIN _timescaledb_catalog.continuous_aggs_bucket_function USING (mat_hypertable_id)
    WHERE mat_hypertable_id = (config ->> 'mat_hypertable_id')::int;
    IF EXISTS (SELECT FROM rollup_refreshes WHERE rollup = refreshed) THEN
        -- A window without a start begins with the oldest chunk of all hypertables.
        SELECT coalesce(now() - (config ->> 'start_offset')::interval, min(range_start))
        INTO window_start
        FROM timescaledb_information.chunks;
        window_end := now() - coalesce((config ->> 'end_offset')::interval, width);
        CALL set_failing_rows_aside(refreshed, width, window_start, window_end);
    END IF;
    INSERT INTO rollup_refreshes VALUES (refreshed, clock_timestamp()) ON CONFLICT DO NOTHING;
    COMMIT;
    CALL _timescaledb_functions.policy_refresh_continuous_aggregate(job_id, config);
    CALL rebuild_rollup(refreshed);
    RESET enable_sort;
    SELECT count(*) OVER () AS count, bucket, series_id, error
    INTO failing
    FROM rollup_rows_set_aside
    WHERE rollup = refreshed
    ORDER BY bucket, series_id
    LIMIT 1;
    IF FOUND THEN
        COMMIT;
        RAISE EXCEPTION 'cannot compute % row(s) of %, the first at % of series_id %: %',
            failing.count, refreshed, failing.bucket, failing.series_id, failing.error
            USING HINT = 'All others are refreshed. Correct or delete the points of the rows in '
                         'rollup_rows_set_aside.';
    END IF;
    DELETE FROM rollup_refreshes WHERE rollup = refreshed;
    COMMIT;
END
$$;

-- Refreshes a rollup as a job. Whatever the settings are, no run erases what was computed from
-- dropped data.
CREATE PROCEDURE refresh_rollup(job_id int, config jsonb)
LANGUAGE plpgsql
AS $$
DECLARE
    narrowed jsonb := within_what_is_kept(config);
BEGIN
    IF narrowed IS NOT NULL THEN
        CALL refresh_rollup_window(job_id, narrowed);
    END IF;
END
$$;

-- Refreshes all rollups by hand, for old points that arrived while the windows were shorter.
-- refresh_continuous_aggregate without an end would move the watermark past open buckets, and
-- points that arrive in them would be missing from then on. Over dropped points, it would erase
-- their rollup rows. This procedure refreshes whole days (UTC), the finest rollup first, up to the
-- last closed bucket, and from the oldest one that is kept.
CREATE PROCEDURE refresh_rollups(range_start timestamptz, range_end timestamptz)
LANGUAGE plpgsql
AS $$
DECLARE
    rollup record;
    first_bucket timestamptz;
    last_end timestamptz;
BEGIN
    IF range_start IS NULL OR range_end IS NULL
       OR NOT isfinite(range_start) OR NOT isfinite(range_end)
       OR range_start >= range_end THEN
        RAISE EXCEPTION 'the range from % to % has no end or no length: name a start and a later '
                        'end', coalesce(range_start::text, 'null'),
                        coalesce(range_end::text, 'null');
    END IF;
    PERFORM set_config('enable_sort', 'off', false);
    FOR rollup IN
        SELECT settings.relation, settings.bucket, under.kept, catalog.raw_hypertable_id,
               CASE settings.bucket WHEN INTERVAL '1 minute' THEN 1440
                                    WHEN INTERVAL '1 hour' THEN 744
                                    ELSE 0 END AS batch
        FROM history_settings() AS settings
        JOIN history_settings() AS under ON under.relation = settings.source
        JOIN _timescaledb_catalog.continuous_agg AS catalog
            ON catalog.user_view_schema = current_schema()
           AND catalog.user_view_name = settings.relation
    LOOP
        SELECT greatest(time_bucket(INTERVAL '1 day', refresh_rollups.range_start),
                        time_bucket(INTERVAL '1 day', now() - rollup.kept) + INTERVAL '1 day',
                        _timescaledb_functions.to_timestamp(min(slice.range_start)))
        INTO first_bucket
        FROM _timescaledb_catalog.dimension_slice AS slice
        JOIN _timescaledb_catalog.dimension ON dimension.id = slice.dimension_id
        WHERE dimension.hypertable_id = rollup.raw_hypertable_id
        HAVING count(*) > 0;
        last_end := least(time_bucket(INTERVAL '1 day', range_end - INTERVAL '1 microsecond')
                          + INTERVAL '1 day',
                          time_bucket(rollup.bucket, now()));
        IF first_bucket < last_end THEN
            CALL refresh_continuous_aggregate(
                rollup.relation::regclass, first_bucket, last_end,
                options => jsonb_build_object('buckets_per_batch', rollup.batch));
            COMMIT; -- the changes are now recorded for the next rollup
        END IF;
    END LOOP;
    RESET enable_sort;
END
$$;

-- Runs refreshes that a crash delayed. TimescaleDB does not restart a job that was running when
-- the database crashed for five minutes or more, and every change of any job restarts that time.
-- No setting of the job shortens it. Refreshes run often, so a crash is likely to hit one. This job
-- hardly ever runs, so it continues immediately after a crash. It helps after the first crash only:
-- a refresh that crashes the database again has to wait.
CREATE PROCEDURE refresh_after_crash(job_id int, config jsonb)
LANGUAGE plpgsql
AS $$
DECLARE
    waiting record;
BEGIN
    -- A run counts as a crash until it ends. Soon after its start, a running job is visible as a
    -- session.
    FOR waiting IN
        SELECT jobs.job_id, jobs.config
        FROM timescaledb_information.jobs
        JOIN _timescaledb_internal.bgw_job_stat AS stat USING (job_id)
        WHERE jobs.proc_schema = 'public' AND jobs.proc_name = 'refresh_rollup' AND jobs.scheduled
          AND stat.consecutive_crashes = 1 AND stat.last_start < now() - INTERVAL '10 seconds'
          AND NOT EXISTS (SELECT FROM pg_stat_activity AS session
                          WHERE session.datname = current_database()
                            AND session.application_name = jobs.application_name)
        ORDER BY jobs.job_id
    LOOP
        CALL refresh_rollup(waiting.job_id, waiting.config);
    END LOOP;
END
$$;
