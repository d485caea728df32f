INSERT INTO series (device_id, metric_name)
SELECT device_id, metric_name
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS wanted (device_id, metric_name, position)
ORDER BY position
ON CONFLICT (device_id, metric_name) DO NOTHING
