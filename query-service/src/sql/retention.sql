-- The age in microseconds at which the retention policy of each relation drops data.
SELECT hypertable_name::text,
       (extract(epoch FROM now() - (now() - (config ->> 'drop_after')::interval)) * 1000000)::int8
FROM timescaledb_information.jobs
WHERE proc_name = 'policy_retention' AND scheduled
  AND hypertable_schema = current_schema() AND config ? 'drop_after'
