-- The time range that the chunks of points and rollups cover together, in microseconds since 1970.
SELECT min(range_start), max(range_end) FROM _timescaledb_catalog.dimension_slice
