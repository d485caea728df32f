SELECT user_view_name::text, _timescaledb_functions.cagg_watermark(mat_hypertable_id)
FROM _timescaledb_catalog.continuous_agg
WHERE user_view_schema = current_schema()
