-- Each point with the amount that its counter increased: the difference from the previous point, or
-- the whole value after a reset. For the first point of a series, the previous point is looked up
-- before the interval, back to $5. The increase is NULL without a previous point, or if that point
-- is more than $6 older.
SELECT series_id, "timestamp", value,
       CASE WHEN "timestamp" - earlier <= $6 THEN
           CASE WHEN value >= previous THEN value - previous ELSE value END
       END AS increase
FROM (
    SELECT series_id, "timestamp", value,
           lag(value) OVER in_order AS previous,
           lag("timestamp") OVER in_order AS earlier
    FROM (
        SELECT series_id, "timestamp", value
        FROM points
        WHERE series_id = ANY($1) AND "timestamp" >= $2 AND "timestamp" < $3
        UNION ALL
        SELECT before.*
        FROM unnest($1) AS asked (id)
        CROSS JOIN LATERAL (
            SELECT series_id, "timestamp", value
            FROM points
            WHERE series_id = asked.id AND "timestamp" >= $5 AND "timestamp" < $2
            ORDER BY "timestamp" DESC, value DESC
            LIMIT 1
        ) AS before
    ) AS of_interval
    WINDOW in_order AS (PARTITION BY series_id ORDER BY "timestamp", value)
) AS compared
WHERE "timestamp" >= $2
