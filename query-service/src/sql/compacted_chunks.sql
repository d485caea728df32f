-- Chunks of points that are entirely in the columnstore, as [start, end) in microseconds since
-- 1970. Bit 0 of the status means compressed and bit 2 frozen. Any other bit means that rows were
-- added later or are unordered.
SELECT (extract(epoch FROM listed.range_start) * 1000000)::int8,
       (extract(epoch FROM listed.range_end) * 1000000)::int8
FROM timescaledb_information.chunks AS listed
JOIN _timescaledb_catalog.chunk AS chunk
    ON chunk.schema_name = listed.chunk_schema AND chunk.table_name = listed.chunk_name
WHERE listed.hypertable_schema = current_schema() AND listed.hypertable_name = 'points'
  AND listed.is_compressed AND chunk.status & ~4 = 1
