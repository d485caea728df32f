INSERT INTO points ("timestamp", series_id, value)
SELECT * FROM unnest($1::timestamptz[], $2::int4[], $3::float8[])
