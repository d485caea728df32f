-- TimescaleDB refreshes a rollup as a whole or not at all, so points that cannot be computed would
-- stop every refresh. A refresh that follows a failed one therefore searches for the rows (one
-- bucket of one series) that cannot be computed. It refreshes all other rows, and then fails, so
-- that these rows stay visible as a failing job. While nothing fails, a run costs one more row.

-- Rollups whose refresh is running or did not succeed.
CREATE TABLE rollup_refreshes (
    rollup   text        PRIMARY KEY,
    began_at timestamptz NOT NULL
);

-- Rows that cannot be computed from the stored points, each with the error. They are missing in
-- their rollup. Every run tries them again.
CREATE TABLE rollup_rows_set_aside (
    rollup    text        NOT NULL,
    bucket    timestamptz NOT NULL,
    series_id int4        NOT NULL,
    error     text        NOT NULL,
    found_at  timestamptz NOT NULL,
    PRIMARY KEY (rollup, bucket, series_id)
);

-- Materialised ranges that are to be computed again from the same points.
CREATE TABLE rollup_rebuilds (
    rollup      text        NOT NULL,
    range_start timestamptz NOT NULL,
    range_end   timestamptz NOT NULL,
    PRIMARY KEY (rollup, range_start)
);

GRANT SELECT ON rollup_refreshes, rollup_rows_set_aside, rollup_rebuilds
    TO tidegauge_ingest, tidegauge_query;

-- Returns the buckets of a rollup in [range_start, range_end) that a refresh computes: those whose
-- points changed since they were materialised, and those never materialised. TimescaleDB records
-- them as invalidations and ranges, in microseconds.
CREATE FUNCTION ranges_waiting(refreshed text, width interval, range_start timestamptz,
                               range_end timestamptz)
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
               least(_timescaledb_functions.to_timestamp(last),
                     range_end - INTERVAL '1 microsecond') AS last
        FROM invalidations
    )
    SELECT coalesce(range_agg(tstzrange(time_bucket(width, first),
                                        time_bucket(width, last) + width)), '{}')
    FROM clamped
    WHERE first <= last
$$;

-- Returns the rows of a view that cannot be computed, each with the error. Searches the buckets and
-- series of the given ranges. Halves the time range, then the series range, until a failing row is
-- alone, which reads the points about twice. Counts whole rows, so that every column is computed.
CREATE FUNCTION failing_rows(source text, width interval, times tstzrange, ids int8range)
RETURNS TABLE (bucket timestamptz, series_id int4, error text)
LANGUAGE plpgsql
SET jit = off
AS $$
DECLARE
    times_left tstzrange[] := ARRAY[times];
    ids_left int8range[] := ARRAY[ids];
    middle timestamptz;
    middle_id int8;
BEGIN
    WHILE cardinality(times_left) > 0 LOOP
        times := times_left[cardinality(times_left)];
        ids := ids_left[cardinality(ids_left)];
        times_left := trim_array(times_left, 1);
        ids_left := trim_array(ids_left, 1);
        BEGIN
            EXECUTE format('SELECT count(computed) FROM %s AS computed
                            WHERE bucket >= %L AND bucket < %L
                              AND series_id >= %s AND series_id < %s',
                           source, lower(times), upper(times), lower(ids), upper(ids));
            CONTINUE;
        EXCEPTION WHEN OTHERS THEN
            error := SQLERRM;
        END;
        middle := time_bucket(width, lower(times) + (upper(times) - lower(times)) / 2);
        middle_id := lower(ids) + floor((upper(ids) - lower(ids)) / 2.0);
        IF middle > lower(times) THEN
            times_left := times_left || ARRAY[tstzrange(middle, upper(times)),
                                              tstzrange(lower(times), middle)];
            ids_left := ids_left || ARRAY[ids, ids];
        ELSIF middle_id > lower(ids) THEN
            times_left := times_left || ARRAY[times, times];
            ids_left := ids_left || ARRAY[int8range(middle_id, upper(ids)),
                                          int8range(lower(ids), middle_id)];
        ELSE
            bucket := lower(times);
            series_id := lower(ids);
            RETURN NEXT;
        END IF;
    END LOOP;
END
$$;

-- Excludes the rows set aside from the refresh of a rollup. TimescaleDB refreshes a rollup from an
-- internal view with its query (partial_view). The owner of that view may replace its query. A
-- second internal view (direct_view) keeps the original query. The rows are written as constants,
-- because only constants are applied to the points before they are aggregated.
CREATE PROCEDURE leave_out_rows_set_aside(refreshed text)
LANGUAGE plpgsql
AS $$
DECLARE
    kept record;
    condition text;
BEGIN
    SELECT format('%I.%I', partial_view_schema, partial_view_name) AS source,
           format('%I.%I', direct_view_schema, direct_view_name) AS unchanged
    INTO STRICT kept
    FROM _timescaledb_catalog.continuous_agg
    WHERE user_view_schema = 'public' AND user_view_name = refreshed;
    SELECT string_agg(format('NOT (series_id = %s AND bucket = ANY (%L::timestamptz[]))',
                             series_id, buckets), ' AND ')
    INTO condition
    FROM (SELECT series_id, array_agg(bucket) AS buckets
          FROM rollup_rows_set_aside
          WHERE rollup = refreshed
          GROUP BY series_id) AS of_series;
    EXECUTE format('CREATE OR REPLACE RULE "_RETURN" AS ON SELECT TO %s DO INSTEAD ', kept.source)
        || coalesce(format('SELECT * FROM %s WHERE ', kept.unchanged) || condition,
                    pg_get_viewdef(kept.unchanged::regclass));
END
$$;

-- Sets aside the rows of a rollup that cannot be computed. Searches the ranges in
-- [window_start, window_end) that wait for a refresh, the ranges to rebuild, and the rows set aside
-- before. Rows that can be computed again are added to the ranges to rebuild.
CREATE PROCEDURE set_failing_rows_aside(refreshed text, width interval, window_start timestamptz,
                                        window_end timestamptz)
LANGUAGE plpgsql
AS $$
DECLARE
    kept record;
    ranges tstzmultirange;
    found rollup_rows_set_aside[];
BEGIN
    SELECT format('%I.%I', partial_view_schema, partial_view_name) AS without_rows_set_aside,
           format('%I.%I', direct_view_schema, direct_view_name) AS unchanged
    INTO STRICT kept
    FROM _timescaledb_catalog.continuous_agg
    WHERE user_view_schema = 'public' AND user_view_name = refreshed;
    SELECT ranges_waiting(refreshed, width, window_start, window_end)
           + coalesce(range_agg(tstzrange(range_start, range_end)), '{}')
    INTO ranges
    FROM rollup_rebuilds
    WHERE rollup = refreshed;
    SELECT coalesce(array_agg(ROW(refreshed, bucket, series_id, error, clock_timestamp())
                              ::rollup_rows_set_aside), '{}')
    INTO found
    FROM (SELECT again.*
          FROM rollup_rows_set_aside AS aside,
               failing_rows(kept.unchanged, width,
                            tstzrange(aside.bucket, aside.bucket + width),
                            int8range(aside.series_id, aside.series_id::int8 + 1)) AS again
          WHERE rollup = refreshed
          UNION ALL
          SELECT first.*
          FROM unnest(ranges) AS range,
               failing_rows(kept.without_rows_set_aside, width, range,
                            int8range(-2147483648, 2147483648)) AS first
         ) AS failing;
    INSERT INTO rollup_rebuilds
    SELECT DISTINCT refreshed, bucket, bucket + width
    FROM rollup_rows_set_aside
    WHERE rollup = refreshed
      AND (bucket, series_id) NOT IN (SELECT bucket, series_id FROM unnest(found))
    ON CONFLICT DO NOTHING;
    DELETE FROM rollup_rows_set_aside
    WHERE rollup = refreshed
      AND (bucket, series_id) NOT IN (SELECT bucket, series_id FROM unnest(found));
    INSERT INTO rollup_rows_set_aside
    SELECT * FROM unnest(found)
    ON CONFLICT (rollup, bucket, series_id) DO UPDATE SET error = excluded.error;
    CALL leave_out_rows_set_aside(refreshed);
END
$$;

-- Computes the ranges to rebuild again, the newest first, up to the watermark. Stops after 10
-- seconds, so that the newest points of the rollup do not wait. Skips a range whose points were
-- dropped, because a refresh would erase it.
CREATE PROCEDURE rebuild_rollup(refreshed text)
LANGUAGE plpgsql
AS $$
DECLARE
    rebuild record;
    began timestamptz := clock_timestamp();
BEGIN
    WHILE clock_timestamp() < began + INTERVAL '10 seconds' LOOP
        SELECT range_start,
               least(range_end,
                     _timescaledb_functions.to_timestamp(
                         _timescaledb_functions.cagg_watermark(mat_hypertable_id))) AS range_end,
               EXISTS (SELECT
                       FROM timescaledb_information.chunks
                       WHERE chunks.hypertable_schema = hypertable.schema_name
                         AND chunks.hypertable_name = hypertable.table_name
                         AND chunks.range_start <= next.range_start
                         AND chunks.range_end >= next.range_end) AS has_points
        INTO rebuild
        FROM rollup_rebuilds AS next
        JOIN _timescaledb_catalog.continuous_agg
            ON user_view_schema = 'public' AND user_view_name = next.rollup
        JOIN _timescaledb_catalog.hypertable ON hypertable.id = raw_hypertable_id
        WHERE rollup = refreshed
        ORDER BY range_start DESC
        LIMIT 1;
        EXIT WHEN NOT FOUND;
        IF rebuild.has_points AND rebuild.range_start < rebuild.range_end THEN
            CALL refresh_continuous_aggregate(format('public.%I', refreshed)::regclass,
                                              rebuild.range_start, rebuild.range_end,
                                              force => true);
        END IF;
        DELETE FROM rollup_rebuilds
        WHERE rollup = refreshed AND range_start = rebuild.range_start;
        COMMIT;
    END LOOP;
END
$$;
