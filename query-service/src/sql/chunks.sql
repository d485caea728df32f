-- A chunk that was compressed as it was written has no sizes from before and after compression;
-- both are 0.
SELECT chunk.chunk_name::text,
       chunk.range_start,
       chunk.range_end,
       chunk.is_compressed,
       coalesce(compression.before_compression_total_bytes, 0),
       coalesce(compression.after_compression_total_bytes, 0),
       coalesce(size.total_bytes, 0)
FROM timescaledb_information.chunks AS chunk
LEFT JOIN chunks_detailed_size('points') AS size USING (chunk_schema, chunk_name)
LEFT JOIN chunk_columnstore_stats('points') AS compression USING (chunk_schema, chunk_name)
WHERE chunk.hypertable_schema = current_schema() AND chunk.hypertable_name = 'points'
ORDER BY chunk.range_start DESC
