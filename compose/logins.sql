-- Creates the logins of the services, each with the privileges of its group role only. Run it as a
-- superuser, before or after the migration. To change a password, run it again:
--   INGEST_PASSWORD=... QUERY_PASSWORD=... psql --file compose/logins.sql "$ADMIN_URL"
\set ON_ERROR_STOP on
\getenv ingest_password INGEST_PASSWORD
\getenv query_password QUERY_PASSWORD
SET client_min_messages = warning; -- hides the notice about an existing grant

SELECT format('CREATE ROLE %I', wanted)
FROM unnest(ARRAY['tidegauge_ingest', 'tidegauge_query', 'ingest', 'query']) AS wanted
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted)
\gexec

GRANT tidegauge_ingest TO ingest;
GRANT tidegauge_query TO query;
ALTER ROLE ingest LOGIN PASSWORD :'ingest_password';
ALTER ROLE query LOGIN PASSWORD :'query_password';
