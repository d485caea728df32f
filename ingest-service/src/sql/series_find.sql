SELECT wanted.position, series.series_id
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS wanted (device_id, metric_name, position)
JOIN series USING (device_id, metric_name)
