-- Points by day, as the hours count them, and how many minutes have any, at most: an index-only scan of 24 entries a day and series.
SELECT time_bucket(INTERVAL '1 day', bucket), sum(count)::int8, sum(least(count, 60))::int8
FROM {relation}
WHERE series_id = ANY($1) AND bucket >= $2 AND bucket < $3
GROUP BY 1
