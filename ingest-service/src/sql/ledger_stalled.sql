-- Terminates the sessions of stalled writers: those that have held a transaction open for more than
-- $1 seconds and are waiting for their client. Such a service was stopped or gets no processor
-- time. No timeout of the server applies while it waits for the rows of a COPY.
SELECT count(pg_terminate_backend(pid))
FROM pg_stat_activity
WHERE application_name = $2
  AND datname = current_database()
  AND usename = current_user
  AND pid <> pg_backend_pid()
  AND xact_start < now() - make_interval(secs => $1)
  AND (state LIKE 'idle in transaction%' OR wait_event = 'ClientRead')
