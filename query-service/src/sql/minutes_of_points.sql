(
    SELECT time_bucket(INTERVAL '1 minute', "timestamp") AS bucket,
           series_id,
           count(*) AS count{columns}
    FROM points
    WHERE "timestamp" >= $2 AND "timestamp" < $3
    GROUP BY 1, 2
) AS minutes
