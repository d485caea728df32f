SELECT {key}, {bucket}, count(*){columns}
FROM ({points}) AS points
GROUP BY 1, 2
