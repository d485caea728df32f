-- Before PostgreSQL 16, an index on updated_at, BRIN too, kept every update of a producer's row from being heap-only: each wrote
-- an entry into the primary key's index as well. The daily job that forgets idle producers reads the table instead.
DROP INDEX producers_updated_at_idx;

-- A row has about 80 bytes at first, and grows to 600 with the batches that it remembers. Inserts leave room in the page for
-- that and for the next versions of the row: an update is heap-only if the new version fits into the same page.
ALTER TABLE producers SET (fillfactor = 10);
