-- From the first to the last instant that any chunk of points or rollups covers, in microseconds since 1970.
SELECT min(range_start), max(range_end) FROM _timescaledb_catalog.dimension_slice
