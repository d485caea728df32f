{relation}
WHERE {series} AND bucket >= $2 AND bucket < $3
