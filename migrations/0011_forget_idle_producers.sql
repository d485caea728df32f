-- The ledger must not grow for ever: a daily job forgets producers, and the services' own writers, that have not sent for 60
-- days. That is longer than late points are accepted (30 days), so a batch that such a producer sends again has only points
-- that are too old by now. Its next new batch is told SEQUENCE_GAP with expected_sequence 1: it begins a new epoch at 1.
CREATE PROCEDURE forget_idle_producers(job_id int, config jsonb)
LANGUAGE sql
AS $$
    DELETE FROM producers WHERE updated_at < now() - (config ->> 'idle_after')::interval
$$;

SELECT add_job('forget_idle_producers', INTERVAL '1 day', config => '{"idle_after": "60 days"}');

-- Lets the job find them without reading the whole ledger. BRIN, so that advancing a row stays an update within its page.
CREATE INDEX producers_updated_at_idx ON producers USING brin (updated_at);
