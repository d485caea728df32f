-- Advances the ledger and inserts the points, or writes nothing if a ledger row is not as expected.
-- The rows are locked in sorted order. FOR UPDATE returns their latest version, even if the
-- statement's snapshot is older. A row locked by another transaction counts as not as expected.
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
