SELECT {bucket}, sum(count)::int8{columns}{key}
FROM {relation}
WHERE {series} AND bucket >= $2 AND bucket < $3
GROUP BY {bucket}{key}
