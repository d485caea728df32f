SELECT metric_name
FROM series
WHERE device_id = $1
  AND metric_name >= $2 AND ($3::text IS NULL OR metric_name < $3) AND metric_name > $4
ORDER BY metric_name
LIMIT $5
