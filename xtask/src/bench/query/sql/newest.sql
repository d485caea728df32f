SELECT newest."timestamp", newest.value
FROM unnest($1::text[]) WITH ORDINALITY AS wanted (device_id, place)
JOIN series ON series.device_id = wanted.device_id AND series.metric_name = $2
CROSS JOIN LATERAL (
    SELECT "timestamp", value
    FROM points
    WHERE points.series_id = series.series_id
    ORDER BY "timestamp" DESC
    LIMIT 1
) AS newest
ORDER BY wanted.place
