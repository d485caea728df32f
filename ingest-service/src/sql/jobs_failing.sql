-- Counts failing jobs per procedure. Jobs below 1000 are the extension's own, such as its telemetry
-- report, and are skipped. A refresh job also counts as failing while rows of its rollup are set
-- aside, even if the server keeps no job statistics.
SELECT proc_name::text,
       count(*) FILTER (WHERE last_run_status = 'Failed' OR EXISTS (
           SELECT
           FROM rollup_rows_set_aside AS aside
           JOIN _timescaledb_catalog.continuous_agg AS kept ON kept.user_view_name = aside.rollup
           WHERE jobs.proc_name = 'refresh_rollup'
             AND kept.mat_hypertable_id = (jobs.config ->> 'mat_hypertable_id')::int))
FROM timescaledb_information.jobs
LEFT JOIN timescaledb_information.job_stats USING (job_id)
WHERE job_id >= 1000
GROUP BY proc_name
