-- No unique index: it would turn direct compress off. Exactly-once comes from the ledger (producers), not from the rows.
CREATE TABLE points (
    "timestamp" timestamptz NOT NULL,
    series_id   int4        NOT NULL,
    value       float8      NOT NULL
);

SELECT create_hypertable('points', by_range('timestamp', INTERVAL '1 day'), create_default_indexes => false);

CREATE INDEX points_series_id_timestamp_idx ON points (series_id, "timestamp" DESC);

ALTER TABLE points SET (
    timescaledb.enable_columnstore = true,
    timescaledb.segmentby = 'series_id',
    timescaledb.orderby = '"timestamp" DESC'
);
