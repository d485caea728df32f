SELECT {bucket}, count(*){columns}{key}
FROM ({points}) AS points
GROUP BY {bucket}{key}
