SELECT producer_id, epoch, last_sequence
FROM producers
WHERE producer_id = ANY ($1::text[])
ORDER BY producer_id
FOR UPDATE
