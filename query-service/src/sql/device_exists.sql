SELECT EXISTS (SELECT FROM series WHERE device_id = $1)
