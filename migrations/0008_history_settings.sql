-- Three settings depend on each other: the accepted age of points (TIDEGAUGE_OLDEST_ACCEPTED), the
-- windows of the refreshes (start_offset of their jobs), and the retention of points and rollups
-- (retention policies). A point older than the window of a refresh never reaches the rollup, and a
-- refresh over dropped points erases their rollup rows. These functions change the settings
-- together, and refuse values that conflict. ingest-service checks the same rules
-- (shared/src/history.rs).
--
-- They are functions and not views, because ALTER EXTENSION timescaledb UPDATE would fail on a
-- view of the extension's views.

-- Returns the settings of points and of each rollup: the relation that it is computed from, the job
-- that refreshes it, the window of that job (null if unbounded), and the retention (null if
-- nothing is dropped).
CREATE FUNCTION history_settings()
RETURNS TABLE (relation text, source text, bucket interval, refresh_job int,
               refresh_window interval, kept interval)
LANGUAGE sql STABLE ROWS 4
AS $$
    SELECT known.relation, known.source, known.bucket, refresh.job_id, refresh.refresh_window,
           retention.kept
    FROM (VALUES ('points', NULL, NULL),
                 ('points_1min', 'points', INTERVAL '1 minute'),
                 ('points_1hour', 'points_1min', INTERVAL '1 hour'),
                 ('points_1day', 'points_1hour', INTERVAL '1 day'))
         AS known (relation, source, bucket)
    LEFT JOIN LATERAL (
        SELECT job_id, (config ->> 'start_offset')::interval AS refresh_window
        FROM timescaledb_information.jobs
        JOIN _timescaledb_catalog.continuous_agg AS rollup
            ON rollup.mat_hypertable_id = (config ->> 'mat_hypertable_id')::int
        WHERE proc_name IN ('refresh_rollup', 'policy_refresh_continuous_aggregate')
          AND rollup.user_view_schema = current_schema()
          AND rollup.user_view_name = known.relation
        ORDER BY (config ->> 'start_offset')::interval DESC NULLS FIRST
        LIMIT 1
    ) AS refresh ON true
    LEFT JOIN LATERAL (
        SELECT min((config ->> 'drop_after')::interval) AS kept
        FROM timescaledb_information.jobs
        WHERE proc_name = 'policy_retention' AND config ? 'drop_after'
          AND hypertable_schema = current_schema() AND hypertable_name = known.relation
    ) AS retention ON true
    ORDER BY known.bucket NULLS FIRST
$$;

-- Sets the age up to which late points reach the rollups: the windows of the refreshes, and the
-- time after which idle producers are forgotten. To accept older points, call it before
-- TIDEGAUGE_OLDEST_ACCEPTED is raised. To accept fewer, lower the variable first.
CREATE FUNCTION set_accepted_age(age interval) RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    rollup record;
    wanted interval;
BEGIN
    IF age IS NULL OR age <= INTERVAL '0' THEN
        RAISE EXCEPTION 'age is %: it must be a positive interval, such as 30 days',
                        coalesce(age::text, 'null');
    END IF;
    FOR rollup IN
        SELECT settings.*, under.kept AS source_kept
        FROM history_settings() AS settings
        JOIN history_settings() AS under ON under.relation = settings.source
    LOOP
        -- A day covers the time until the next run, and more than the buckets of each level below.
        wanted := age + CASE rollup.relation WHEN 'points_1min' THEN INTERVAL '1 day'
                                             WHEN 'points_1hour' THEN INTERVAL '2 days'
                                             ELSE INTERVAL '4 days' END;
        IF rollup.refresh_job IS NULL THEN
            RAISE EXCEPTION '% has no job that refreshes it', rollup.relation;
        END IF;
        IF rollup.source_kept < wanted + INTERVAL '1 day' THEN
            RAISE EXCEPTION 'age is %, for which refreshes of % look back %, but % is kept for % '
                            'only: they would erase what was made of dropped data',
                            age, rollup.relation, wanted, rollup.source, rollup.source_kept
                USING HINT = format('Keep it for %s or more first: SELECT set_retention(%L, %L)',
                                    wanted + INTERVAL '1 day', rollup.source,
                                    wanted + INTERVAL '1 day');
        END IF;
        PERFORM alter_job(job_id, config => jsonb_set(config, '{start_offset}', to_jsonb(wanted)))
        FROM timescaledb_information.jobs
        WHERE job_id = rollup.refresh_job;
    END LOOP;
    PERFORM alter_job(job_id, config => jsonb_set(config, '{idle_after}',
                                                  to_jsonb(age + INTERVAL '30 days')))
    FROM timescaledb_information.jobs
    WHERE proc_name = 'forget_idle_producers'
      AND (config ->> 'idle_after')::interval < age + INTERVAL '30 days';
END
$$;

-- Sets how long points, or the rows of a rollup, are kept. Null keeps them without limit.
CREATE FUNCTION set_retention(relation text, keep interval) RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    dropped ALIAS FOR relation;
    rollup record;
BEGIN
    IF NOT EXISTS (SELECT FROM history_settings() AS settings
                   WHERE settings.relation = dropped) THEN
        RAISE EXCEPTION 'relation is %: it must be points, points_1min, points_1hour or '
                        'points_1day', coalesce(dropped, 'null');
    END IF;
    FOR rollup IN
        SELECT *
        FROM history_settings() AS settings
        WHERE settings.source = dropped AND refresh_job IS NOT NULL
    LOOP
        IF rollup.refresh_window IS NULL THEN
            RAISE EXCEPTION 'refreshes of % look back without bound: they would erase what was '
                            'made of dropped data', rollup.relation
                USING HINT = 'Bound them first, for example: SELECT set_accepted_age(''30 days'')';
        END IF;
        IF keep < rollup.refresh_window + INTERVAL '1 day' THEN
            RAISE EXCEPTION '% cannot be kept for % only: refreshes of % look back %, and would '
                            'erase what was made of dropped data',
                            dropped, keep, rollup.relation, rollup.refresh_window
                USING HINT = format('Keep it for %s or more, or accept points up to a lower age '
                                    'first: set_accepted_age',
                                    rollup.refresh_window + INTERVAL '1 day');
        END IF;
    END LOOP;
    IF EXISTS (SELECT FROM history_settings() AS settings
               WHERE settings.relation = dropped AND kept IS NOT NULL) THEN
        PERFORM remove_retention_policy(dropped::regclass);
    END IF;
    IF keep IS NOT NULL THEN
        PERFORM add_retention_policy(dropped::regclass, keep);
    END IF;
END
$$;

-- Returns the configuration of a refresh job, narrowed so that the refresh erases nothing that was
-- computed from dropped data. Excludes what retention drops, and rows of the rollup that are older
-- than the oldest chunk that they could be computed from. Returns null if no whole bucket is left.
CREATE FUNCTION within_what_is_kept(config jsonb) RETURNS jsonb
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    rollup record;
    window_start timestamptz := now() - (config ->> 'start_offset')::interval;
    narrowed interval;
    oldest_chunk timestamptz;
    has_older_rows boolean;
    first_end timestamptz;
    last_end timestamptz;
BEGIN
    SELECT settings.bucket, under.kept, catalog.raw_hypertable_id,
           kept_in.schema_name, kept_in.table_name
    INTO STRICT rollup
    FROM _timescaledb_catalog.continuous_agg AS catalog
    JOIN _timescaledb_catalog.hypertable AS kept_in ON kept_in.id = catalog.mat_hypertable_id
    JOIN history_settings() AS settings ON settings.relation = catalog.user_view_name
    JOIN history_settings() AS under ON under.relation = settings.source
    WHERE catalog.mat_hypertable_id = (config ->> 'mat_hypertable_id')::int;
    IF now() - rollup.kept > window_start OR window_start IS NULL THEN
        narrowed := rollup.kept;
    END IF;
    SELECT _timescaledb_functions.to_timestamp(min(range_start))
    INTO oldest_chunk
    FROM _timescaledb_catalog.dimension_slice AS slice
    JOIN _timescaledb_catalog.dimension ON dimension.id = slice.dimension_id
    WHERE dimension.hypertable_id = rollup.raw_hypertable_id;
    EXECUTE format('SELECT EXISTS (SELECT FROM %I.%I WHERE bucket >= $1 AND bucket < $2)',
                   rollup.schema_name, rollup.table_name)
        INTO has_older_rows
        USING coalesce(window_start, '-infinity'), coalesce(oldest_chunk, 'infinity');
    IF has_older_rows THEN
        -- The refresh reads the clock itself, and starts with the first whole bucket. Half a bucket
        -- more makes that the first bucket of the chunk, and no earlier one. Without any chunk,
        -- nothing is left to refresh.
        narrowed := least(narrowed, coalesce(now() - oldest_chunk + rollup.bucket / 2,
                                             INTERVAL '0'));
    END IF;
    IF narrowed IS NULL THEN
        RETURN config;
    END IF;
    first_end := time_bucket(rollup.bucket, now() - narrowed - INTERVAL '1 microsecond')
                 + 2 * rollup.bucket;
    last_end := time_bucket(rollup.bucket,
                            now() - coalesce((config ->> 'end_offset')::interval, INTERVAL '0'));
    RETURN CASE WHEN first_end <= last_end
                THEN jsonb_set(config, '{start_offset}', to_jsonb(narrowed)) END;
END
$$;
