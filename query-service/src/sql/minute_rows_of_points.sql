-- Has no condition on the bucket, because the points are bounded by their timestamps. TimescaleDB
-- would compute such a condition for each point, and would not aggregate whole columns at a time:
-- 20 million compressed points then take 6.4 s instead of 1.3 s (on 2.28).
{relation}
WHERE {series}
