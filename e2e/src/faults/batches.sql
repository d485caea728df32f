SELECT floor(value / $2)::int8 AS number, count(*), count(DISTINCT value), sum(value)
FROM points
WHERE series_id = ANY ($1)
GROUP BY 1
