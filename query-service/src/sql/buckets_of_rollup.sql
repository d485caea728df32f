SELECT bucket, count{columns}{key}
FROM {rows}
