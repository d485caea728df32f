UPDATE producers
SET epoch = moved.epoch, last_sequence = moved.last_sequence, updated_at = now()
FROM unnest($1::text[], $2::int8[], $3::int8[]) AS moved (producer_id, epoch, last_sequence)
WHERE producers.producer_id = moved.producer_id
