-- A series is all points of one (device, metric); points carry its integer. The "C" collation makes prefixes a range of
-- the index and the order of listings the order of bytes, whatever the locale of the database.
CREATE TABLE series (
    series_id   int4 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    device_id   text COLLATE "C" NOT NULL,
    metric_name text COLLATE "C" NOT NULL,
    UNIQUE (device_id, metric_name)
);

-- Serves the listing of metrics and the selection of one metric over many devices.
CREATE INDEX series_metric_name_device_id_idx ON series (metric_name, device_id) INCLUDE (series_id);
