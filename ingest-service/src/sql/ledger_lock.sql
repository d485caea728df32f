-- Locks the rows that nobody else has locked, in sorted order. Rows that somebody else has locked are named, not waited for.
WITH locked AS MATERIALIZED (
    SELECT producer_id, epoch, last_sequence
    FROM producers
    WHERE producer_id = ANY ($1::text[])
    ORDER BY producer_id
    FOR UPDATE SKIP LOCKED
)
SELECT producer_id, epoch, last_sequence, true AS is_ours FROM locked
UNION ALL
SELECT producer_id, epoch, last_sequence, false
FROM producers
WHERE producer_id = ANY ($1::text[]) AND producer_id NOT IN (SELECT producer_id FROM locked)
