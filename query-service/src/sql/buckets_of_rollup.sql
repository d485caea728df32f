SELECT bucket, count{columns}{key}
FROM {relation}
WHERE {series} AND bucket >= $2 AND bucket < $3
