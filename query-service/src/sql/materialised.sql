-- The watermark of each rollup, and how far it can be trusted. Times are in microseconds since
-- 1970.
--
-- known_to: the end of the window of the policy's last successful run. While the policy runs, and
-- after a failed run, the catalogue records only when the last successful run ended, which is some
-- seconds after it began: one minute is subtracted. Without any recorded run, the last buckets are
-- not trusted: two bucket widths, at least 15 minutes. known_to is never before the oldest chunk:
-- refreshes begin there, and older buckets count as not materialised.
-- disturbed_from: the first time since known_to that was written to after it was materialised, or
-- that is not materialised yet.
SELECT rollup.user_view_name::text,
       watermark.at,
       format('%I.%I', kept.schema_name, kept.table_name),
       policy.reaches,
       known.until,
       CASE WHEN watermark.at > known.until THEN
           (SELECT min(greatest(written.first, known.until))
            FROM (SELECT lowest_modified_value AS first, greatest_modified_value AS last
                  FROM _timescaledb_catalog.continuous_aggs_materialization_invalidation_log
                  WHERE materialization_id = rollup.mat_hypertable_id
                  UNION ALL
                  SELECT lowest_modified_value, greatest_modified_value
                  FROM _timescaledb_catalog.continuous_aggs_materialization_ranges
                  WHERE materialization_id = rollup.mat_hypertable_id
                  UNION ALL
                  SELECT lowest_modified_value, greatest_modified_value
                  FROM _timescaledb_catalog.continuous_aggs_hypertable_invalidation_log
                  WHERE hypertable_id = rollup.raw_hypertable_id) AS written
            WHERE written.first < watermark.at AND written.last >= known.until)
       END AS disturbed_from
FROM unnest($1::text[], $2::int8[]) AS wanted (view_name, width)
JOIN _timescaledb_catalog.continuous_agg AS rollup
    ON rollup.user_view_schema = current_schema() AND rollup.user_view_name = wanted.view_name
JOIN _timescaledb_catalog.hypertable AS kept ON kept.id = rollup.mat_hypertable_id
CROSS JOIN LATERAL (
    SELECT _timescaledb_functions.cagg_watermark(rollup.mat_hypertable_id) AS at
) AS watermark
-- The aggregate returns one row even without a policy. Such a rollup reaches as far as its
-- completed buckets.
CROSS JOIN LATERAL (
    SELECT (extract(epoch FROM now()) * 1000000)::int8 - coalesce(min(job.end_offset), 0)
               AS reaches,
           max(job.began) - min(job.end_offset) AS refreshed_to
    FROM (SELECT (extract(epoch FROM coalesce((jobs.config ->> 'end_offset')::interval,
                                              INTERVAL '0')) * 1000000)::int8 AS end_offset,
                 (extract(epoch FROM CASE
                     WHEN NOT isfinite(stats.last_successful_finish) THEN NULL
                     WHEN stats.last_run_success AND stats.last_finish >= stats.last_start
                         THEN stats.last_start
                     ELSE stats.last_successful_finish - INTERVAL '1 minute'
                  END) * 1000000)::int8 AS began
          FROM timescaledb_information.jobs AS jobs
          LEFT JOIN _timescaledb_internal.bgw_job_stat AS stats ON stats.job_id = jobs.job_id
          WHERE jobs.config ? 'end_offset'
            AND (jobs.config ->> 'mat_hypertable_id')::int = rollup.mat_hypertable_id) AS job
) AS policy
CROSS JOIN LATERAL (
    SELECT greatest(coalesce(policy.refreshed_to,
                             least(watermark.at, policy.reaches)
                                 - greatest(2 * wanted.width, 900000000)),
                    (SELECT min(slice.range_start)
                     FROM _timescaledb_catalog.dimension_slice AS slice
                     JOIN _timescaledb_catalog.dimension ON dimension.id = slice.dimension_id
                     WHERE dimension.hypertable_id = rollup.raw_hypertable_id)) AS at
) AS refreshed
CROSS JOIN LATERAL (
    SELECT refreshed.at - (refreshed.at % wanted.width + wanted.width) % wanted.width AS until
) AS known
-- A rollup that was never materialised has the smallest possible watermark.
WHERE watermark.at > 0
