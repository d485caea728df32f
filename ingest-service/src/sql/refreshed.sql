-- Returns when the refresh job of each rollup last succeeded, in microseconds since the Unix epoch.
-- A job that never succeeded counts from the last migration. If the database keeps no job
-- statistics, as the embedded one, the result is the current time.
SELECT rollup.user_view_name::text,
       (extract(epoch FROM CASE
                               WHEN known.runs
                                   THEN greatest(job_stats.last_successful_finish, installed.at)
                               ELSE now()
                           END)
        * 1000000)::int8
FROM timescaledb_information.jobs
JOIN _timescaledb_catalog.continuous_agg AS rollup
    ON rollup.mat_hypertable_id = (jobs.config ->> 'mat_hypertable_id')::int
CROSS JOIN (SELECT max(installed_on) AS at FROM _sqlx_migrations) AS installed
CROSS JOIN (
    SELECT coalesce(max(total_runs), 0) > 0 AS runs FROM timescaledb_information.job_stats
) AS known
LEFT JOIN timescaledb_information.job_stats USING (job_id)
WHERE jobs.proc_name = 'refresh_rollup'
  AND jobs.scheduled
  AND rollup.user_view_schema = current_schema()
