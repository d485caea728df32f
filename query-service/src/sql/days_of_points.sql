-- For each day, the number of points and an upper bound for the minutes that have any. Both come
-- from the hourly counts: an index-only scan of at most 24 entries per day and series.
SELECT time_bucket(INTERVAL '1 day', bucket), sum(count)::int8, sum(least(count, 60))::int8
FROM {relation}
WHERE series_id = ANY($1) AND bucket >= $2 AND bucket < $3
GROUP BY 1
