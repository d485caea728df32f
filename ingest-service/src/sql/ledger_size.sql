-- Returns the number of producers and the size of their table in bytes. A small table is counted,
-- because reltuples is unknown until the first ANALYZE. A large one is estimated.
SELECT CASE
           WHEN pg_relation_size('producers') < 1048576 THEN (SELECT count(*) FROM producers)
           ELSE greatest(reltuples, 0)
       END::float8,
       pg_total_relation_size('producers')::float8
FROM pg_class
WHERE oid = 'producers'::regclass
