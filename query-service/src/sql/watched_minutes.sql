SELECT series_id, bucket, count, sum_value, min_value, max_value, variance
FROM {relation}
WHERE series_id = ANY($1) AND bucket >= $2 AND bucket < $3
