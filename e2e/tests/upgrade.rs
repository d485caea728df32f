//! What a database of an earlier version holds, and what its operator set, is there after the upgrade.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a failing test may panic

use e2e::{OwnDatabase, Sql};
use shared::db;

/// The last step before the policies moved to `refresh_rollup`.
const BEFORE_REFRESH_BY_HASH: i64 = 13;
const COARSEST: &str = "SELECT max(job_id) FROM timescaledb_information.jobs WHERE proc_name LIKE '%refresh%'";

/// Of each refresh policy: what is refreshed, and how its job is set.
async fn policies(sql: &mut Sql) -> Vec<(String, String)> {
    let statement =
        "SELECT rollup.user_view_name::text, to_jsonb(jobs) - ARRAY['job_id', 'application_name', 'proc_schema',
                         'proc_name', 'check_schema', 'check_name', 'next_start', 'initial_start', 'hypertable_schema',
                         'hypertable_name', 'owner']
                     FROM timescaledb_information.jobs
                     JOIN _timescaledb_catalog.continuous_agg AS rollup
                         ON rollup.mat_hypertable_id = (jobs.config ->> 'mat_hypertable_id')::int
                     WHERE proc_name LIKE '%refresh%'
                     ORDER BY job_id";
    let rows: Vec<(String, serde_json::Value)> = sqlx::query_as(statement).fetch_all(&mut sql.0).await.unwrap();
    rows.into_iter().map(|(rollup, settings)| (rollup, settings.to_string())).collect()
}

#[tokio::test]
async fn refresh_policies_keep_what_was_set_when_they_move_to_refresh_rollup() {
    let database = OwnDatabase::start_empty().await;
    let mut sql = database.sql().await;
    sql.migrate_to(BEFORE_REFRESH_BY_HASH).await;
    let set =
        "SELECT alter_job($1, scheduled => false, max_runtime => '7 min', max_retries => 3, retry_period => '11 s',
                                schedule_interval => '13 min')";
    let coarsest: i32 = sqlx::query_scalar(COARSEST).fetch_one(&mut sql.0).await.unwrap();
    sqlx::query(set).bind(coarsest).execute(&mut sql.0).await.unwrap();
    let before = policies(&mut sql).await;
    sql.close().await;

    db::migrate(&database.config()).await.unwrap();

    let mut sql = database.sql().await;
    let after = policies(&mut sql).await;
    assert_eq!(before.len(), 3);
    assert_eq!(after, before);
    assert!(after[2].1.contains("\"scheduled\":false"), "{after:?}");
    let moved = "SELECT count(*) FROM timescaledb_information.jobs WHERE proc_name = 'refresh_rollup'";
    assert_eq!(sqlx::query_scalar::<_, i64>(moved).fetch_one(&mut sql.0).await.unwrap(), 3);
}
