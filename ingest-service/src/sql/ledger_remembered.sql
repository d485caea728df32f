-- Reads the remembered batches of producers from the given sequence on, both from their rows and
-- from their pages. A row or page may also hold older batches.
WITH wanted AS (
    SELECT *
    FROM unnest($1::text[], $2::int8[], $3::int8[]) AS wanted (producer_id, epoch, first_sequence)
)
SELECT producer_id, recent
FROM wanted
JOIN producers USING (producer_id, epoch)
UNION ALL
SELECT producer_id, entries
FROM wanted
JOIN producer_batches USING (producer_id, epoch)
WHERE last_sequence >= first_sequence
