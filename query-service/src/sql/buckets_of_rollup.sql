SELECT series_id, bucket, count{columns}
FROM {relation}
WHERE {series} AND bucket >= $2 AND bucket < $3
