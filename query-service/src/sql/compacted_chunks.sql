-- Chunks of points that are in the columnstore as a whole, [start, end) in microseconds since 1970. The first bit of the status says
-- compressed, the third frozen; the others say that rows were added since or lie in no order.
SELECT (extract(epoch FROM listed.range_start) * 1000000)::int8, (extract(epoch FROM listed.range_end) * 1000000)::int8
FROM timescaledb_information.chunks AS listed
JOIN _timescaledb_catalog.chunk AS chunk
    ON chunk.schema_name = listed.chunk_schema AND chunk.table_name = listed.chunk_name
WHERE listed.hypertable_schema = current_schema() AND listed.hypertable_name = 'points'
  AND listed.is_compressed AND chunk.status & ~4 = 1
