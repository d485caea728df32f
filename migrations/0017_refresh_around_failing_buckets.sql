-- A refresh of a rollup that fails, fails as a whole: the same bucket would stop it for ever. From now on a run that follows a
-- failed one looks for the buckets that cannot be computed, refreshes everything else, and fails at its end for their
-- sake: it stays visible as a failing job. While nothing fails, a run costs one row more than before.

-- Rollups whose refresh is under way, or did not succeed.
CREATE TABLE rollup_refreshes (
    rollup   text        PRIMARY KEY,
    began_at timestamptz NOT NULL
);

-- Buckets that cannot be computed from what is stored, each with the error. Every run tries them again.
CREATE TABLE rollup_buckets_set_aside (
    rollup   text        NOT NULL,
    bucket   timestamptz NOT NULL,
    error    text        NOT NULL,
    found_at timestamptz NOT NULL,
    PRIMARY KEY (rollup, bucket)
);

-- What is materialised and is to be computed once more from the same points, a range a run, the newest first.
CREATE TABLE rollup_rebuilds (
    rollup      text        NOT NULL,
    range_start timestamptz NOT NULL,
    range_end   timestamptz NOT NULL,
    PRIMARY KEY (rollup, range_start)
);

GRANT SELECT ON rollup_refreshes, rollup_buckets_set_aside, rollup_rebuilds TO tidegauge_ingest, tidegauge_query;

-- Minutes that were materialised before step 16 have any one of the values of their first and last timestamps.
INSERT INTO rollup_rebuilds
SELECT 'points_1min', range_start, range_end
FROM timescaledb_information.chunks
WHERE hypertable_schema = current_schema() AND hypertable_name = 'points';

-- Returns the buckets of [range_start, range_end) that cannot be computed by a view, each with the error. Halves the range
-- until the buckets at fault stand alone, which reads it about twice. The whole row is counted, so that all of it is computed.
CREATE FUNCTION failing_buckets(source text, width interval, range_start timestamptz, range_end timestamptz)
RETURNS TABLE (bucket timestamptz, error text)
LANGUAGE plpgsql
AS $$
DECLARE
    middle timestamptz := time_bucket(width, range_start + (range_end - range_start) / 2);
BEGIN
    BEGIN
        EXECUTE format('SELECT count(computed) FROM %s AS computed WHERE bucket >= %L AND bucket < %L',
                       source, range_start, range_end);
        RETURN;
    EXCEPTION WHEN OTHERS THEN
        bucket := range_start;
        error := SQLERRM;
    END;
    IF middle <= range_start THEN
        RETURN NEXT;
    ELSE
        RETURN QUERY SELECT * FROM failing_buckets(source, width, range_start, middle);
        RETURN QUERY SELECT * FROM failing_buckets(source, width, middle, range_end);
    END IF;
END
$$;

-- Returns the whole buckets of a rollup in [range_start, range_end) whose points changed since they were materialised, if ever
-- they were: what a refresh would compute. TimescaleDB keeps it as invalidations, in microseconds.
CREATE FUNCTION ranges_waiting(refreshed text, width interval, range_start timestamptz, range_end timestamptz)
RETURNS tstzmultirange
LANGUAGE sql STABLE
AS $$
    WITH kept AS (
        SELECT mat_hypertable_id, raw_hypertable_id
        FROM _timescaledb_catalog.continuous_agg
        WHERE user_view_schema = 'public' AND user_view_name = refreshed
    ), invalidations (first, last) AS (
        SELECT lowest_modified_value, greatest_modified_value
        FROM _timescaledb_catalog.continuous_aggs_hypertable_invalidation_log, kept
        WHERE hypertable_id = raw_hypertable_id
        UNION ALL
        SELECT lowest_modified_value, greatest_modified_value
        FROM _timescaledb_catalog.continuous_aggs_materialization_invalidation_log, kept
        WHERE materialization_id = mat_hypertable_id
        UNION ALL
        SELECT lowest_modified_value, greatest_modified_value
        FROM _timescaledb_catalog.continuous_aggs_materialization_ranges, kept
        WHERE materialization_id = mat_hypertable_id
    ), clamped AS (
        SELECT greatest(_timescaledb_functions.to_timestamp(first), range_start) AS first,
               least(_timescaledb_functions.to_timestamp(last), range_end - INTERVAL '1 microsecond') AS last
        FROM invalidations
    )
    SELECT coalesce(range_agg(tstzrange(time_bucket(width, first), time_bucket(width, last) + width)), '{}')
    FROM clamped
    WHERE first <= last
$$;

-- Returns [range_start, range_end) without the buckets of a rollup that are set aside, in pieces of at most `batch`, cut at
-- its multiples.
CREATE FUNCTION ranges_to_refresh(refreshed text, width interval, batch interval, range_start timestamptz, range_end timestamptz)
RETURNS SETOF tstzrange
LANGUAGE sql STABLE
AS $$
    SELECT unnest(tstzmultirange(tstzrange(greatest(start, range_start), least(start + batch, range_end)))
                  - coalesce((SELECT range_agg(tstzrange(bucket, bucket + width))
                              FROM rollup_buckets_set_aside
                              WHERE rollup = refreshed), '{}'))
    FROM generate_series(time_bucket(batch, range_start), range_end - INTERVAL '1 microsecond', batch) AS start
$$;

-- Sets aside the buckets of a rollup that cannot be computed, of those in [range_start, range_end) that wait for a refresh and
-- of the range to rebuild next. Buckets that were set aside before and are not among them are no longer set aside.
CREATE PROCEDURE set_failing_buckets_aside(refreshed text, width interval, range_start timestamptz, range_end timestamptz)
LANGUAGE plpgsql
AS $$
DECLARE
    source text;
    waiting tstzmultirange := ranges_waiting(refreshed, width, range_start, range_end);
    rebuild tstzrange;
    found rollup_buckets_set_aside[];
BEGIN
    SELECT format('%I.%I', partial_view_schema, partial_view_name)
    INTO STRICT source
    FROM _timescaledb_catalog.continuous_agg
    WHERE user_view_schema = 'public' AND user_view_name = refreshed;
    SELECT tstzrange(next.range_start, next.range_end)
    INTO rebuild
    FROM rollup_rebuilds AS next
    WHERE rollup = refreshed
    ORDER BY next.range_start DESC
    LIMIT 1;
    SELECT coalesce(array_agg(ROW(refreshed, bucket, error, clock_timestamp())::rollup_buckets_set_aside), '{}')
    INTO found
    FROM unnest(waiting + coalesce(tstzmultirange(rebuild), '{}')) AS range,
         failing_buckets(source, width, lower(range), upper(range));
    DELETE FROM rollup_buckets_set_aside WHERE rollup = refreshed AND bucket NOT IN (SELECT bucket FROM unnest(found));
    INSERT INTO rollup_buckets_set_aside
    SELECT * FROM unnest(found)
    ON CONFLICT (rollup, bucket) DO UPDATE SET error = excluded.error;
END
$$;

-- Computes the newest range to rebuild once more, up to where the rollup is materialised. A range whose points were dropped
-- meanwhile is left as it is, because a refresh would erase it.
CREATE PROCEDURE rebuild_rollup(refreshed text, width interval, batch interval)
LANGUAGE plpgsql
AS $$
DECLARE
    rebuild record;
    piece tstzrange;
    watermark timestamptz;
BEGIN
    SELECT * INTO rebuild FROM rollup_rebuilds WHERE rollup = refreshed ORDER BY range_start DESC LIMIT 1;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    SELECT _timescaledb_functions.to_timestamp(_timescaledb_functions.cagg_watermark(mat_hypertable_id))
    INTO STRICT watermark
    FROM _timescaledb_catalog.continuous_agg
    WHERE user_view_schema = 'public' AND user_view_name = refreshed;
    IF EXISTS (SELECT FROM timescaledb_information.chunks
               WHERE hypertable_schema = 'public' AND hypertable_name = 'points'
                 AND chunks.range_start = rebuild.range_start) THEN
        FOR piece IN
            SELECT ranges_to_refresh(refreshed, width, batch, rebuild.range_start, least(rebuild.range_end, watermark))
        LOOP
            CALL refresh_continuous_aggregate(format('public.%I', refreshed)::regclass, lower(piece), upper(piece),
                                              force => true);
        END LOOP;
    END IF;
    DELETE FROM rollup_rebuilds WHERE rollup = refreshed AND range_start = rebuild.range_start;
    COMMIT;
END
$$;

-- As in step 14, and around buckets that cannot be computed. Settings cannot be local to a transaction, for a refresh is
-- several.
CREATE OR REPLACE PROCEDURE refresh_rollup(job_id int, config jsonb)
LANGUAGE plpgsql
AS $$
DECLARE
    refreshed text;
    width interval;
    batch interval;
    range_start timestamptz;
    range_end timestamptz;
    waiting tstzmultirange;
    piece tstzrange;
    failing record;
BEGIN
    PERFORM set_config('enable_sort', 'off', false);
    SELECT user_view_name, bucket_width::interval, bucket_width::interval * coalesce((config ->> 'buckets_per_batch')::int, 1000)
    INTO STRICT refreshed, width, batch
    FROM _timescaledb_catalog.continuous_agg
    JOIN _timescaledb_catalog.continuous_aggs_bucket_function USING (mat_hypertable_id)
    WHERE mat_hypertable_id = (config ->> 'mat_hypertable_id')::int;
    IF EXISTS (SELECT FROM rollup_refreshes WHERE rollup = refreshed) THEN
        -- The whole buckets of the policy's window. A refresh that has no first bucket begins with the oldest chunk.
        SELECT coalesce(time_bucket(width, now() - (config ->> 'start_offset')::interval) + width, min(chunks.range_start)),
               time_bucket(width, now() - coalesce((config ->> 'end_offset')::interval, width))
        INTO range_start, range_end
        FROM timescaledb_information.chunks
        WHERE hypertable_schema = 'public' AND hypertable_name = 'points';
        CALL set_failing_buckets_aside(refreshed, width, range_start, range_end);
        COMMIT;
        waiting := ranges_waiting(refreshed, width, range_start, range_end);
    END IF;
    IF EXISTS (SELECT FROM rollup_buckets_set_aside WHERE rollup = refreshed) THEN
        FOR piece IN SELECT ranges_to_refresh(refreshed, width, batch, range_start, range_end) LOOP
            IF piece && waiting THEN
                CALL refresh_continuous_aggregate(format('public.%I', refreshed)::regclass, lower(piece), upper(piece));
            END IF;
        END LOOP;
    ELSE
        INSERT INTO rollup_refreshes VALUES (refreshed, clock_timestamp()) ON CONFLICT DO NOTHING;
        COMMIT;
        CALL _timescaledb_functions.policy_refresh_continuous_aggregate(job_id, config);
    END IF;
    CALL rebuild_rollup(refreshed, width, batch);
    RESET enable_sort;
    SELECT count(*) OVER () AS buckets, bucket, error
    INTO failing
    FROM rollup_buckets_set_aside
    WHERE rollup = refreshed
    ORDER BY bucket
    LIMIT 1;
    IF FOUND THEN
        COMMIT;
        RAISE EXCEPTION 'cannot refresh % bucket(s) of %, the first at %: %',
            failing.buckets, refreshed, failing.bucket, failing.error
            USING HINT = 'All others are refreshed. Correct or delete the points that rollup_buckets_set_aside points to.';
    END IF;
    DELETE FROM rollup_refreshes WHERE rollup = refreshed;
    COMMIT;
END
$$;

-- Jobs that failed before are waiting for longer and longer: they run now.
SELECT alter_job(job_id, next_start => now())
FROM timescaledb_information.jobs
WHERE proc_schema = 'public' AND proc_name = 'refresh_rollup' AND scheduled;
