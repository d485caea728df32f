-- What is remembered of producers from a sequence of an epoch on: what their own rows hold, and the pages.
WITH wanted AS (
    SELECT * FROM unnest($1::text[], $2::int8[], $3::int8[]) AS wanted (producer_id, epoch, first_sequence)
)
SELECT producer_id, recent
FROM wanted
JOIN producers USING (producer_id, epoch)
UNION ALL
SELECT producer_id, entries
FROM wanted
JOIN producer_batches USING (producer_id, epoch)
WHERE last_sequence >= first_sequence
