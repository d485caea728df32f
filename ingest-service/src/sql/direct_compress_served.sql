-- Both settings exist since TimescaleDB 2.21. Hypertables with rollups need 2.24.
SELECT current_setting('timescaledb.enable_direct_compress_copy', true) IS NOT NULL
       AND current_setting('timescaledb.enable_direct_compress_copy_sort_batches', true) IS NOT NULL
       AND (string_to_array(split_part(extversion, '-', 1), '.')::int[])[1:2] >= ARRAY[2, 24]
FROM pg_extension
WHERE extname = 'timescaledb'
