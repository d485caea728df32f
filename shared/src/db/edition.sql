SELECT current_setting('server_version'),
       coalesce(e.installed_version, e.default_version)::text,
       current_setting('timescaledb.license', true)
FROM (VALUES (1)) AS always(row)
LEFT JOIN pg_available_extensions e ON e.name = 'timescaledb'
