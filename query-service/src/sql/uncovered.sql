-- Days that a rollup does not cover and that no refresh will return to: TimescaleDB has logged them
-- as changed or never materialised, and they are older than the window of the rollup's refreshes.
-- Each day is listed with the finest relation that still has all of it: no chunk of that day is
-- dropped or about to be dropped.
-- Levels: points 0, minutes 1, hours 2, days 3. Times are in microseconds since 1970.
WITH settings AS MATERIALIZED (
    SELECT relation, source, refresh_job, refresh_window, kept, ordinality - 1 AS level
    FROM history_settings() WITH ORDINALITY
), rollups AS (
    SELECT settings.level, mat_hypertable_id, raw_hypertable_id,
           coalesce((extract(epoch FROM now() - under.kept) * 1000000)::int8, -9223372036854775808)
               AS kept_from,
           CASE WHEN settings.refresh_job IS NULL THEN 9223372036854775807
                WHEN settings.refresh_window IS NULL THEN -9223372036854775808
                ELSE (extract(epoch FROM now() - settings.refresh_window) * 1000000)::int8
           END AS window_start
    FROM settings
    JOIN settings AS under ON under.relation = settings.source
    JOIN _timescaledb_catalog.continuous_agg
        ON user_view_schema = current_schema() AND user_view_name = settings.relation
), logs AS (
    SELECT materialization_id, lowest_modified_value AS lowest, greatest_modified_value AS greatest
    FROM _timescaledb_catalog.continuous_aggs_materialization_invalidation_log
    UNION ALL
    SELECT materialization_id, lowest_modified_value, greatest_modified_value
    FROM _timescaledb_catalog.continuous_aggs_materialization_ranges
    UNION ALL
    SELECT mat_hypertable_id, lowest_modified_value, greatest_modified_value
    FROM rollups
    JOIN _timescaledb_catalog.continuous_aggs_hypertable_invalidation_log
        ON hypertable_id = raw_hypertable_id
), whole AS (
    SELECT level - 1 AS level, range_agg(int8range(range_start, range_end)) AS ranges,
           min(range_start) AS first, max(range_end) AS last
    FROM rollups
    JOIN _timescaledb_catalog.dimension ON hypertable_id = raw_hypertable_id
    JOIN _timescaledb_catalog.dimension_slice ON dimension_id = dimension.id
    WHERE range_end > kept_from
    GROUP BY level
), stale AS (
    SELECT rollups.level,
           int8range(greatest(lowest, first) / 86400000000 * 86400000000,
                     (least(greatest, window_start - 1, last) / 86400000000 + 1) * 86400000000)
               AS range
    FROM rollups
    JOIN logs ON materialization_id = mat_hypertable_id
    CROSS JOIN (SELECT min(first) AS first, max(last) AS last FROM whole) AS extent
    WHERE window_start > first AND lowest < least(window_start, last) AND greatest >= first
)
SELECT rollup.level::int4, whole.level::int4, lower(missing), upper(missing)
FROM rollups AS rollup
JOIN whole ON whole.level < rollup.level
CROSS JOIN LATERAL (
    SELECT unnest(range_agg(stale.range) * whole.ranges) AS missing
    FROM stale
    WHERE stale.level > whole.level AND stale.level <= rollup.level
) AS days
ORDER BY rollup.level, whole.level, missing
