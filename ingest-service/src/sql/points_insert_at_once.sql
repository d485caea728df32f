-- The rows of the ledger are locked in sorted order, and read as they are then, whatever the statement's snapshot shows.
WITH step AS (
    SELECT *
    FROM unnest($1::text[], $2::int8[], $3::int8[], $4::int8[]) AS step (producer_id, epoch, before, after)
), locked AS MATERIALIZED (
    SELECT producer_id, epoch, last_sequence
    FROM producers
    WHERE producer_id = ANY ($1::text[])
    ORDER BY producer_id
    FOR UPDATE
), ledger AS MATERIALIZED (
    SELECT count(*) = cardinality($1::text[]) AS as_expected
    FROM locked
    JOIN step USING (producer_id, epoch)
    WHERE last_sequence = before
), advanced AS (
    UPDATE producers
    SET last_sequence = after, updated_at = now()
    FROM step, ledger
    WHERE as_expected AND producers.producer_id = step.producer_id
)
INSERT INTO points ("timestamp", series_id, value)
SELECT point.*
FROM ledger, unnest($5::timestamptz[], $6::int4[], $7::float8[]) AS point
WHERE as_expected
