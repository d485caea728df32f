INSERT INTO producers (producer_id, epoch, last_sequence)
SELECT producer_id, -1, 0
FROM unnest($1::text[]) WITH ORDINALITY AS wanted (producer_id, position)
ORDER BY position
ON CONFLICT (producer_id) DO NOTHING
