-- The rows of the ledger are locked in sorted order, and read as they are then, whatever the statement's snapshot shows. A
-- row that somebody else has locked is as one that is not as expected: nothing is written.
WITH step AS (
    SELECT *
    FROM unnest($1::text[], $2::int8[], $3::int8[], $4::int8[], $5::bytea[])
             AS step (producer_id, epoch, before, after, entries)
), locked AS MATERIALIZED (
    SELECT producer_id, epoch, last_sequence, recent
    FROM producers
    WHERE producer_id = ANY ($1::text[])
    ORDER BY producer_id
    FOR UPDATE SKIP LOCKED
), ledger AS MATERIALIZED (
    SELECT count(*) = cardinality($1::text[]) AS as_expected
    FROM locked
    JOIN step USING (producer_id, epoch)
    WHERE last_sequence = before
), page AS (
    SELECT locked.*
    FROM locked, ledger
    WHERE as_expected AND octet_length(recent) >= $9
), handed_over AS (
    INSERT INTO producer_batches (producer_id, epoch, last_sequence, entries)
    SELECT producer_id, epoch, last_sequence, recent
    FROM page
), dropped AS (
    DELETE FROM producer_batches
    USING page
    WHERE producer_batches.producer_id = page.producer_id
      AND producer_batches.epoch = page.epoch
      AND producer_batches.last_sequence <= page.last_sequence - $10
), advanced AS (
    UPDATE producers
    SET last_sequence = after,
        updated_at = now(),
        recent = CASE WHEN octet_length(recent) < $9 THEN entries || recent ELSE entries END
    FROM step, ledger
    WHERE as_expected AND producers.producer_id = step.producer_id
)
INSERT INTO points ("timestamp", series_id, value)
SELECT point.*
FROM ledger, unnest($6::timestamptz[], $7::int4[], $8::float8[]) AS point
WHERE as_expected
