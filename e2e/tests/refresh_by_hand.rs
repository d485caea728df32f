//! `refresh_rollups`: old days reach every rollup, no watermark moves into an open bucket, and
//! nothing is erased.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a failing test may panic

use e2e::{OwnDatabase, Sql, now};
use shared::db::Micros;
use shared::granularity::Granularity;

const HOUR: i64 = 3_600_000_000;
const DAY: i64 = 24 * HOUR;

/// Stores hourly points of series 1 in `[start, end)` with SQL.
async fn store_hourly(sql: &mut Sql, start: i64, end: i64) {
    let statement =
        "INSERT INTO points SELECT *, 1, 1.0 FROM generate_series($1, $2, INTERVAL '1 hour') AS at";
    sqlx::query(statement)
        .bind(Micros(start))
        .bind(Micros(end - 1))
        .execute(&mut sql.0)
        .await
        .unwrap();
}

async fn refresh(sql: &mut Sql, start: i64, end: i64) {
    let call = sqlx::query("CALL refresh_rollups($1, $2)").bind(Micros(start)).bind(Micros(end));
    call.execute(&mut sql.0).await.unwrap();
}

/// Returns how many points each rollup has materialised in `[start, end)`.
async fn materialised(sql: &mut Sql, start: i64, end: i64) -> Vec<i64> {
    let mut counts = Vec::new();
    for rollup in Granularity::ROLLUPS {
        let table: String = sqlx::query_scalar(
            "SELECT format('%I.%I', materialization_hypertable_schema,
                           materialization_hypertable_name)
             FROM timescaledb_information.continuous_aggregates WHERE view_name = $1",
        )
        .bind(rollup.relation())
        .fetch_one(&mut sql.0)
        .await
        .unwrap();
        let statement = format!(
            "SELECT coalesce(sum(count), 0)::int8 FROM {table} WHERE bucket >= $1 AND bucket < $2"
        );
        let count = sqlx::query_scalar::<_, i64>(sqlx::AssertSqlSafe(statement))
            .bind(Micros(start))
            .bind(Micros(end));
        counts.push(count.fetch_one(&mut sql.0).await.unwrap());
    }
    counts
}

async fn watermarks(sql: &mut Sql) -> Vec<i64> {
    let statement = "SELECT _timescaledb_functions.cagg_watermark(mat_hypertable_id)
                     FROM _timescaledb_catalog.continuous_agg ORDER BY mat_hypertable_id";
    sqlx::query_scalar(statement).fetch_all(&mut sql.0).await.unwrap()
}

#[tokio::test]
async fn old_days_reach_every_rollup_and_no_watermark_moves_into_an_open_bucket() {
    let database = OwnDatabase::start().await;
    let mut sql = database.sql().await;
    let end = Granularity::Hour.ceil(now());
    let start = Granularity::Day.floor(end) - 60 * DAY;
    store_hourly(&mut sql, start, end).await;

    refresh(&mut sql, start, now() + 3_650 * DAY).await;
    let after = now();
    for (rollup, watermark) in Granularity::ROLLUPS.into_iter().zip(watermarks(&mut sql).await) {
        assert!(
            watermark <= rollup.floor(after),
            "{rollup:?}: {watermark} is in the open bucket of {after}"
        );
        assert!(watermark > start + 58 * DAY, "{rollup:?}: {watermark}");
    }
    let old = (start, start + 20 * DAY);
    assert_eq!(
        materialised(&mut sql, old.0, old.1).await,
        [480; 3],
        "days before the policies' windows were not refreshed"
    );
}

#[tokio::test]
async fn a_day_of_which_a_part_is_named_is_refreshed_whole() {
    let database = OwnDatabase::start().await;
    let mut sql = database.sql().await;
    let day = Granularity::Day.floor(now()) - 50 * DAY;
    store_hourly(&mut sql, day - DAY, day + 2 * DAY).await;
    refresh(&mut sql, day + 5 * HOUR, day + 6 * HOUR).await;
    assert_eq!(materialised(&mut sql, day - DAY, day + 2 * DAY).await, [24; 3]);
}

#[tokio::test]
async fn what_was_made_of_dropped_points_stays() {
    let database = OwnDatabase::start().await;
    let mut sql = database.sql().await;
    let end = Granularity::Day.floor(now());
    let start = end - 20 * DAY;
    store_hourly(&mut sql, start, end).await;
    refresh(&mut sql, start, end).await;
    assert_eq!(materialised(&mut sql, start, end).await, [480; 3]);
    let drop = "SELECT count(*) FROM drop_chunks('points', older_than => $1)";
    let dropped: i64 =
        sqlx::query_scalar(drop).bind(Micros(end - 7 * DAY)).fetch_one(&mut sql.0).await.unwrap();
    assert_eq!(dropped, 13);
    refresh(&mut sql, start, end).await;
    assert_eq!(materialised(&mut sql, start, end).await, [480; 3]);
}

#[tokio::test]
async fn a_range_without_an_end_is_refused() {
    let database = OwnDatabase::start().await;
    let mut sql = database.sql().await;
    for range in
        ["NULL, NULL", "now() - INTERVAL '1 day', NULL", "'-infinity', now()", "now(), now()"]
    {
        let call = sqlx::AssertSqlSafe(format!("CALL refresh_rollups({range})"));
        let refused = sqlx::raw_sql(call).execute(&mut sql.0).await.unwrap_err().to_string();
        assert!(
            refused.contains("has no end or no length: name a start and a later end"),
            "{refused}"
        );
    }
}
