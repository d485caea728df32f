SELECT {bucket}, sum(count)::int8{columns}{key}
FROM {rows}
GROUP BY {bucket}{key}
