-- Locks the unlocked rows in sorted order. Rows locked by another transaction are returned with
-- is_ours = false, without waiting for them.
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
