-- The extension's own job, which reports to its makers, is of no interest; nor does it reach them from everywhere. A refresh
-- fails for as long as it has rows set aside, also on a server that keeps no statistics of its jobs.
SELECT proc_name::text,
       count(*) FILTER (WHERE last_run_status = 'Failed' OR EXISTS (
           SELECT
           FROM rollup_rows_set_aside AS aside
           JOIN _timescaledb_catalog.continuous_agg AS kept ON kept.user_view_name = aside.rollup
           WHERE jobs.proc_name = 'refresh_rollup' AND kept.mat_hypertable_id = (jobs.config ->> 'mat_hypertable_id')::int))
FROM timescaledb_information.jobs
LEFT JOIN timescaledb_information.job_stats USING (job_id)
WHERE job_id >= 1000
GROUP BY proc_name
