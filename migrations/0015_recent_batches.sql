-- What the ledger remembers of recent batches: the hash of their content and their answer, so that a resend is answered as
-- the first sending was and the same number with different content is refused. The bytes are protobuf messages that
-- ingest-service writes and reads (ingest-service/src/ledger/remembered.rs); appending an entry is concatenation.
--
-- The newest entries are in the producer's own row, which every flush updates anyway. Once they take 512 bytes, the flush moves
-- them as one page to producer_batches and drops the pages that are no longer needed. So a batch costs about 30 bytes, and one
-- more row is written for about every 16 batches of a producer.
ALTER TABLE producers ADD COLUMN recent bytea NOT NULL DEFAULT '';

CREATE TABLE producer_batches (
    producer_id   text COLLATE "C" NOT NULL,
    epoch         int8  NOT NULL,
    last_sequence int8  NOT NULL, -- of the page's last entry
    entries       bytea NOT NULL,
    PRIMARY KEY (producer_id, epoch, last_sequence)
);

GRANT SELECT, INSERT, DELETE ON producer_batches TO tidegauge_ingest;

-- Forgets the pages of idle producers with their rows.
CREATE OR REPLACE PROCEDURE forget_idle_producers(job_id int, config jsonb)
LANGUAGE sql
AS $$
    WITH forgotten AS (
        DELETE FROM producers WHERE updated_at < now() - (config ->> 'idle_after')::interval RETURNING producer_id
    )
    DELETE FROM producer_batches USING forgotten WHERE producer_batches.producer_id = forgotten.producer_id
$$;
