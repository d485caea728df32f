SELECT series_id, metric_name FROM series WHERE device_id = $1 ORDER BY metric_name LIMIT $2
