SELECT DISTINCT metric_name
FROM series
WHERE device_id >= $1 AND ($2::text IS NULL OR device_id < $2)
  AND metric_name >= $3 AND ($4::text IS NULL OR metric_name < $4) AND metric_name > $5
ORDER BY metric_name
LIMIT $6
