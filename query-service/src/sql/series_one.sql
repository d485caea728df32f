SELECT series_id FROM series WHERE device_id = $1 AND metric_name = $2
