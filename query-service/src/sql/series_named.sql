SELECT series.series_id
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS wanted (device_id, metric_name, position)
LEFT JOIN series ON series.device_id = wanted.device_id AND series.metric_name = wanted.metric_name
ORDER BY wanted.position
