//! After a crash of the database, TimescaleDB delays refreshes. A separate job runs them, but only
//! after the first crash.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a failing test may panic

use e2e::{OwnDatabase, Sql};

/// Records a crash in the statistics of a job: it started some time ago, never ended, and crashed
/// this many times in a row.
async fn note_crash(sql: &mut Sql, job: i32, crashes: i32, started: &str) {
    let statement = format!(
        "INSERT INTO _timescaledb_internal.bgw_job_stat
         VALUES ({job}, now() - INTERVAL '{started}', '-infinity', '-infinity', '-infinity', false,
                 1, '0', '0', 0, 0, {crashes}, 0, {crashes}, 0)
         ON CONFLICT (job_id) DO UPDATE
         SET last_start = excluded.last_start, next_start = '-infinity',
             consecutive_crashes = {crashes}"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(&mut sql.0).await.unwrap();
}

async fn job(sql: &mut Sql, name: &str) -> i32 {
    let statement =
        "SELECT job_id FROM timescaledb_information.jobs WHERE starts_with(application_name, $1)";
    sqlx::query_scalar(statement).bind(name).fetch_one(&mut sql.0).await.unwrap()
}

/// Runs the job. Returns the number of points then materialised in the minute rollup.
async fn materialised_after_run(sql: &mut Sql, job: i32) -> i64 {
    sqlx::query("CALL run_job($1)").bind(job).execute(&mut sql.0).await.unwrap();
    let materialised_only =
        "ALTER MATERIALIZED VIEW points_1min SET (timescaledb.materialized_only = true)";
    sqlx::query(materialised_only).execute(&mut sql.0).await.unwrap();
    let count = "SELECT coalesce(sum(count), 0)::int8 FROM points_1min";
    sqlx::query_scalar(count).fetch_one(&mut sql.0).await.unwrap()
}

#[tokio::test]
async fn a_refresh_that_a_crash_ended_is_run_but_not_one_that_runs_or_crashed_twice() {
    let database = OwnDatabase::start().await;
    let mut sql = database.sql().await;
    let minutes = job(&mut sql, "Refresh Rollup points_1min").await;
    let after_crash = job(&mut sql, "Refresh After Crash").await;
    let store = "INSERT INTO points SELECT at, 1, 1.0
                 FROM generate_series(now() - INTERVAL '2 hours', now() - INTERVAL '1 hour',
                                      INTERVAL '1 minute') AS at";
    sqlx::query(store).execute(&mut sql.0).await.unwrap();

    note_crash(&mut sql, minutes, 2, "1 minute").await;
    // TimescaleDB schedules a crashed job five minutes from now.
    let schedule = "SELECT alter_job($1, scheduled => true)";
    sqlx::query(schedule).bind(minutes).execute(&mut sql.0).await.unwrap();
    assert_eq!(
        materialised_after_run(&mut sql, after_crash).await,
        0,
        "a refresh that crashed twice must not be run"
    );
    note_crash(&mut sql, minutes, 1, "0 seconds").await;
    assert_eq!(
        materialised_after_run(&mut sql, after_crash).await,
        0,
        "a refresh that may be running must not be run"
    );
    note_crash(&mut sql, minutes, 1, "1 minute").await;
    assert_eq!(materialised_after_run(&mut sql, after_crash).await, 61);
}
