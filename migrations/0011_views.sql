-- Views for SQL users, with names of devices and metrics instead of series ids.
CREATE VIEW iot_data AS
SELECT device_id, metric_name, value, "timestamp"
FROM points JOIN series USING (series_id);

CREATE VIEW iot_data_1min AS
SELECT bucket, device_id, metric_name, per_point(sum_value, count) AS avg_value,
       max_value, min_value, count
FROM points_1min JOIN series USING (series_id);

CREATE VIEW iot_data_1hour AS
SELECT bucket, device_id, metric_name, per_point(sum_value, count) AS avg_value,
       max_value, min_value, count
FROM points_1hour JOIN series USING (series_id);

CREATE VIEW iot_data_1day AS
SELECT bucket, device_id, metric_name, per_point(sum_value, count) AS avg_value,
       max_value, min_value, count
FROM points_1day JOIN series USING (series_id);

GRANT SELECT ON iot_data, iot_data_1min, iot_data_1hour, iot_data_1day TO tidegauge_query;
