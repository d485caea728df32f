-- Reads the position of a producer: its row, and the oldest page of its epoch. A row with epoch -1
-- was added for a batch that was not applied, so it is skipped.
SELECT epoch,
       last_sequence,
       updated_at,
       recent,
       (SELECT entries
        FROM producer_batches
        WHERE producer_batches.producer_id = producers.producer_id
          AND producer_batches.epoch = producers.epoch
        ORDER BY last_sequence
        LIMIT 1)
FROM producers
WHERE producer_id = $1 AND epoch >= 0
