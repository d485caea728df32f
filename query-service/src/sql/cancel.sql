-- The embedded database serves all connections from one backend, which must not cancel itself.
SELECT CASE WHEN pg_backend_pid() <> $1 THEN pg_cancel_backend($1) END
