-- A rollup's rows lie in the order of time: those of one series are scattered. The hours of many series (the average of a
-- fleet) are read from an index that holds all of a row instead; it takes the place of the one that TimescaleDB makes. Minutes
-- keep that one: there are 60 times as many, and reading them takes as long either way.
DO $$
DECLARE
    rollup record;
    old text;
BEGIN
    FOR rollup IN
        SELECT view_name, materialization_hypertable_schema AS schema_name, materialization_hypertable_name AS table_name
        FROM timescaledb_information.continuous_aggregates
        WHERE view_schema = current_schema() AND view_name IN ('points_1hour', 'points_1day')
    LOOP
        SELECT indexname INTO STRICT old
        FROM pg_indexes
        WHERE schemaname = rollup.schema_name AND tablename = rollup.table_name AND indexdef LIKE '%(series_id, bucket%';
        EXECUTE format('CREATE INDEX %I ON %I.%I (series_id, bucket)
                        INCLUDE (count, sum_value, min_value, max_value, first_value, last_value, variance)',
                       rollup.view_name || '_series_id_bucket', rollup.schema_name, rollup.table_name);
        EXECUTE format('DROP INDEX %I.%I', rollup.schema_name, old);
    END LOOP;
END
$$;
