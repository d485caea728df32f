SELECT count(*), coalesce(sum(value), 0)
FROM points
WHERE series_id IN (SELECT series_id FROM series WHERE device_id = $1)
