-- A series is all points of one metric of one device. Points carry its integer. With the "C"
-- collation, a prefix is a range of the index, and listings are in bytewise order, whatever the
-- locale of the database.
CREATE TABLE series (
    series_id   int4 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    device_id   text COLLATE "C" NOT NULL,
    metric_name text COLLATE "C" NOT NULL,
    UNIQUE (device_id, metric_name)
);

-- Serves the listing of metrics, and the selection of one metric of many devices.
CREATE INDEX series_metric_name_device_id_idx
    ON series (metric_name, device_id) INCLUDE (series_id);

GRANT SELECT, INSERT ON series TO tidegauge_ingest;
GRANT SELECT ON series TO tidegauge_query;
