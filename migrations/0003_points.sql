-- Points have no unique index, because one would disable direct compress. A batch is applied only
-- once because of the ledger.
CREATE TABLE points (
    "timestamp" timestamptz NOT NULL,
    series_id   int4        NOT NULL,
    value       float8      NOT NULL
);

SELECT create_hypertable('points', by_range('timestamp', INTERVAL '1 day'),
                         create_default_indexes => false);

CREATE INDEX points_series_id_timestamp_idx ON points (series_id, "timestamp" DESC);

ALTER TABLE points SET (
    timescaledb.enable_columnstore = true,
    timescaledb.segmentby = 'series_id',
    timescaledb.orderby = '"timestamp" DESC'
);

GRANT INSERT ON points TO tidegauge_ingest;
GRANT SELECT ON points TO tidegauge_query;
