-- Lists the points relation, each rollup and the producers: whether a job refreshes it, the refresh
-- window and the retention. Both are in microseconds and computed in UTC, where a day has 24 hours.
SELECT relation,
       refresh_job IS NOT NULL,
       (extract(epoch FROM utc.now - (utc.now - refresh_window)) * 1000000)::int8,
       (extract(epoch FROM utc.now - (utc.now - kept)) * 1000000)::int8
FROM (SELECT relation, refresh_job, refresh_window, kept
      FROM history_settings()
      UNION ALL
      SELECT 'producers', NULL, NULL, min((config ->> 'idle_after')::interval)
      FROM timescaledb_information.jobs
      WHERE proc_name = 'forget_idle_producers') AS settings,
     (SELECT now() AT TIME ZONE 'UTC') AS utc (now)
