-- The services' rights, as roles to grant to their logins. Roles belong to the whole server, so another database or
-- another migration may have made them already, or be making them now.
DO $$
DECLARE
    role_name text;
BEGIN
    FOREACH role_name IN ARRAY ARRAY['tidegauge_ingest', 'tidegauge_query'] LOOP
        -- Looked for first: an owner that may not create roles needs none to be created.
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role_name) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', role_name);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL;
            END;
        END IF;
    END LOOP;
END
$$;

GRANT INSERT ON points TO tidegauge_ingest;
GRANT SELECT, INSERT ON series TO tidegauge_ingest;
GRANT SELECT, INSERT, UPDATE ON producers TO tidegauge_ingest;

GRANT SELECT ON series, points, points_1min, points_1hour, points_1day TO tidegauge_query;
GRANT SELECT ON iot_data, iot_data_1min, iot_data_1hour, iot_data_1day TO tidegauge_query;

-- Both check at start that every migration has run.
GRANT SELECT ON _sqlx_migrations TO tidegauge_ingest, tidegauge_query;
