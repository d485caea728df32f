-- The ledger records which batches of each producer are applied. A flush updates the rows of its
-- producers in the transaction that writes the points.
--
-- It also records the content hash and the answer of recent batches. A resend gets the first
-- answer, and the same number with different content is refused. The entries are protobuf messages
-- of ingest-service (ingest-service/src/ledger/remembered.rs). Concatenation appends an entry.
--
-- The newest entries are in the producer's own row, which every flush updates anyway. Once they
-- take 512 bytes, the flush moves them as one page to producer_batches, and deletes pages that are
-- no longer needed. A batch thus costs about 30 bytes, and one more row is written for about every
-- 16 batches of a producer.
--
-- A row of producers has about 80 bytes at first, and up to 600 with its entries. The fill factor
-- leaves space in the page for that and for the next versions of the row. An update is heap-only
-- if the new version fits into the same page. Before PostgreSQL 16, an index on updated_at would
-- prevent heap-only updates, even a BRIN index.
CREATE TABLE producers (
    producer_id   text COLLATE "C" PRIMARY KEY,
    epoch         int8        NOT NULL,
    last_sequence int8        NOT NULL,
    updated_at    timestamptz NOT NULL DEFAULT now(),
    recent        bytea       NOT NULL DEFAULT ''
) WITH (fillfactor = 10);

CREATE TABLE producer_batches (
    producer_id   text COLLATE "C" NOT NULL,
    epoch         int8  NOT NULL,
    last_sequence int8  NOT NULL, -- of the page's last entry
    entries       bytea NOT NULL,
    PRIMARY KEY (producer_id, epoch, last_sequence)
);

GRANT SELECT, INSERT, UPDATE ON producers TO tidegauge_ingest;
GRANT SELECT, INSERT, DELETE ON producer_batches TO tidegauge_ingest;

-- Deletes producers, and the writers of the services, that have not sent for a time (idle_after,
-- an interval). It must exceed the accepted age of points. A batch that such a producer resends
-- then has only points that are too old. Its next new batch gets SEQUENCE_GAP with
-- expected_sequence 1, and the producer begins a new epoch at 1.
CREATE PROCEDURE forget_idle_producers(job_id int, config jsonb)
LANGUAGE sql
AS $$
    WITH forgotten AS (
        DELETE FROM producers
        WHERE updated_at < now() - (config ->> 'idle_after')::interval
        RETURNING producer_id
    )
    DELETE FROM producer_batches
    USING forgotten
    WHERE producer_batches.producer_id = forgotten.producer_id
$$;
