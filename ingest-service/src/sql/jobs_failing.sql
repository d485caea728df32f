-- The extension's own job, which reports to its makers, is of no interest; nor does it reach them from everywhere.
SELECT proc_name::text, count(*) FILTER (WHERE last_run_status = 'Failed')
FROM timescaledb_information.jobs
LEFT JOIN timescaledb_information.job_stats USING (job_id)
WHERE job_id >= 1000
GROUP BY proc_name
