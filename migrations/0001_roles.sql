-- Creates the roles that hold the privileges of the services. The later steps grant the privileges,
-- and an operator grants the roles to the logins of the services.
--
-- Roles belong to the server, so another database may have created them, or may be creating them
-- now. An owner that may not create roles needs them to exist. This step is the first one, so that
-- it leaves nothing behind if it fails.
DO $$
DECLARE
    wanted text[] := ARRAY['tidegauge_ingest', 'tidegauge_query'];
    role_name text;
    missing text;
BEGIN
    FOREACH role_name IN ARRAY wanted LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role_name) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', role_name);
            EXCEPTION
                WHEN duplicate_object OR unique_violation THEN
                    NULL;
                WHEN insufficient_privilege THEN
                    SELECT string_agg(format('CREATE ROLE %I', name), '; ')
                    INTO missing
                    FROM unnest(wanted) AS name
                    WHERE name NOT IN (SELECT rolname FROM pg_roles);
                    RAISE EXCEPTION '% may not create the roles of the services: run this as a '
                                    'role that may, and migrate again: %', current_user, missing
                        USING ERRCODE = 'insufficient_privilege';
            END;
        END IF;
    END LOOP;
END
$$;

-- Both services check at start that every step has run.
GRANT SELECT ON _sqlx_migrations TO tidegauge_ingest, tidegauge_query;
