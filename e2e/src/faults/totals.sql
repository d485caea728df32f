SELECT count(*), coalesce(sum(value), 0) FROM points WHERE series_id = $1
