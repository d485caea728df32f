-- How old what a relation keeps may become, in microseconds.
SELECT hypertable_name::text,
       (extract(epoch FROM now() - (now() - (config ->> 'drop_after')::interval)) * 1000000)::int8
FROM timescaledb_information.jobs
WHERE proc_name = 'policy_retention' AND scheduled AND hypertable_schema = current_schema() AND config ? 'drop_after'
