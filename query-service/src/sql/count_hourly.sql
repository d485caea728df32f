-- Counts by hour first, so that the hour of the week is computed once per hour and not once per
-- point.
SELECT ((date_part('epoch', hour)::int8 / 3600 % 168 + 168) % 168)::int4 AS hour_of_week,
       sum(count)::int8
FROM (SELECT time_bucket(INTERVAL '1 hour', "timestamp") AS hour, count(*) AS count
      FROM points
      WHERE series_id = $1 AND "timestamp" >= $2 AND "timestamp" < $3
      GROUP BY hour) AS hours
GROUP BY hour_of_week
