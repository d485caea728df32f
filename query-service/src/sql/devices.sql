SELECT device_id, count(*)
FROM series
WHERE device_id >= $1 AND ($2::text IS NULL OR device_id < $2) AND device_id > $3
GROUP BY device_id
ORDER BY device_id
LIMIT $4
