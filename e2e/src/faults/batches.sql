SELECT floor(value / $2)::int8 AS number, count(*), count(DISTINCT value), sum(value)
FROM iot_data
WHERE device_id = $1
GROUP BY 1
