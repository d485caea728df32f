-- Ends the sessions of writers that hold a transaction open for longer than $1 seconds and do not go on: a service that was
-- stopped or lost its processor. While the server waits for the rows of a COPY, no timeout of its own applies.
SELECT count(pg_terminate_backend(pid))
FROM pg_stat_activity
WHERE application_name = $2
  AND datname = current_database()
  AND usename = current_user
  AND pid <> pg_backend_pid()
  AND xact_start < now() - make_interval(secs => $1)
  AND (state LIKE 'idle in transaction%' OR wait_event = 'ClientRead')
