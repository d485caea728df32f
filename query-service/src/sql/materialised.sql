SELECT _timescaledb_functions.cagg_watermark(rollup.mat_hypertable_id), format('%I.%I', kept.schema_name, kept.table_name)
FROM _timescaledb_catalog.continuous_agg AS rollup
JOIN _timescaledb_catalog.hypertable AS kept ON kept.id = rollup.mat_hypertable_id
WHERE rollup.user_view_schema = current_schema() AND rollup.user_view_name = $1
