SELECT {key}, {bucket}, sum(count)::int8{columns}
FROM {relation}
WHERE {series} AND bucket >= $2 AND bucket < $3
GROUP BY 1, 2
