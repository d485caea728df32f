-- Advances producers and remembers their batches, newest first. New entries go before the old ones,
-- so that the old bytes remain the suffix of the row and the write-ahead log holds only the new
-- bytes. A row whose entries fill a page first moves them to producer_batches. Entries of an
-- earlier epoch are dropped, because that epoch is fenced.
WITH moved AS (
    SELECT *
    FROM unnest($1::text[], $2::int8[], $3::int8[], $4::bytea[])
             AS moved (producer_id, epoch, last_sequence, entries)
), page AS (
    SELECT producer_id, producers.epoch, producers.last_sequence, recent, moved.epoch AS new_epoch
    FROM producers
    JOIN moved USING (producer_id)
    WHERE octet_length(recent) >= $5 OR producers.epoch <> moved.epoch AND producers.epoch >= 0
), handed_over AS (
    INSERT INTO producer_batches (producer_id, epoch, last_sequence, entries)
    SELECT producer_id, epoch, last_sequence, recent
    FROM page
    WHERE epoch = new_epoch AND recent <> ''
), dropped AS (
    DELETE FROM producer_batches
    USING page
    WHERE producer_batches.producer_id = page.producer_id
      AND (producer_batches.epoch < page.new_epoch
           OR producer_batches.epoch = page.epoch
              AND producer_batches.last_sequence <= page.last_sequence - $6)
)
UPDATE producers
SET epoch = moved.epoch,
    last_sequence = moved.last_sequence,
    updated_at = now(),
    recent = CASE
                 WHEN producers.epoch = moved.epoch AND octet_length(recent) < $5
                     THEN moved.entries || recent
                 ELSE moved.entries
             END
FROM moved
WHERE producers.producer_id = moved.producer_id
