SELECT points."timestamp", points.value
FROM points
JOIN unnest($4::int4[], $5::float8[], $6::float8[])
         AS hours (hour_of_week, lower_bound, upper_bound)
  ON hours.hour_of_week
     = (date_part('epoch', time_bucket(INTERVAL '1 hour', points."timestamp"))::int8
        / 3600 % 168 + 168) % 168
WHERE points.series_id = $1 AND points."timestamp" >= $2 AND points."timestamp" < $3
  AND (points.value < hours.lower_bound OR points.value > hours.upper_bound)
ORDER BY points."timestamp", points.value
LIMIT $7
