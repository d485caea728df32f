SELECT series_id FROM series WHERE starts_with(device_id, $1) AND metric_name = $2
