-- Counted while it is small, for the planner knows nothing of a table that was never analysed.
SELECT CASE
           WHEN pg_relation_size('producers') < 1048576 THEN (SELECT count(*) FROM producers)
           ELSE greatest(reltuples, 0)
       END::float8,
       pg_total_relation_size('producers')::float8
FROM pg_class
WHERE oid = 'producers'::regclass
