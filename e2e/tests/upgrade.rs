//! After an upgrade, the data of an earlier version and its operator's settings are still there.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a failing test may panic

use e2e::{OwnDatabase, Services, Sql, now, wait_until_serving};
use shared::db::{self, Micros};
use shared::granularity::Granularity;
use shared::proto::v1;

/// The last migration with which one series could stop every refresh.
const BEFORE_SAFE_ARITHMETIC: i64 = 14;
/// The last migration before the policies moved to `refresh_rollup`.
const BEFORE_REFRESH_BY_HASH: i64 = 13;
const COARSEST: &str =
    "SELECT max(job_id) FROM timescaledb_information.jobs WHERE proc_name LIKE '%refresh%'";

/// Returns the rollup and the settings of each refresh policy.
async fn policies(sql: &mut Sql) -> Vec<(String, String)> {
    let statement = "SELECT rollup.user_view_name::text,
                         to_jsonb(jobs) - ARRAY['job_id', 'application_name', 'proc_schema',
                             'proc_name', 'check_schema', 'check_name', 'next_start',
                             'initial_start', 'hypertable_schema', 'hypertable_name', 'owner']
                     FROM timescaledb_information.jobs
                     JOIN _timescaledb_catalog.continuous_agg AS rollup
                         ON rollup.mat_hypertable_id = (jobs.config ->> 'mat_hypertable_id')::int
                     WHERE proc_name LIKE '%refresh%'
                     ORDER BY job_id";
    let rows: Vec<(String, serde_json::Value)> =
        sqlx::query_as(statement).fetch_all(&mut sql.0).await.unwrap();
    rows.into_iter().map(|(rollup, settings)| (rollup, settings.to_string())).collect()
}

#[tokio::test]
async fn refresh_policies_keep_what_was_set_when_they_move_to_refresh_rollup() {
    let database = OwnDatabase::start_empty().await;
    let mut sql = database.sql().await;
    sql.migrate_to(BEFORE_REFRESH_BY_HASH).await;
    let set = "SELECT alter_job($1, scheduled => false, max_runtime => '7 min', max_retries => 3,
                                retry_period => '11 s', schedule_interval => '13 min')";
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
    let moved =
        "SELECT count(*) FROM timescaledb_information.jobs WHERE proc_name = 'refresh_rollup'";
    assert_eq!(sqlx::query_scalar::<_, i64>(moved).fetch_one(&mut sql.0).await.unwrap(), 3);
}

/// Stores values that producers could send before the upgrade, and that underflow when divided by a
/// count.
async fn store_tiny_values(sql: &mut Sql, hour: i64) {
    sqlx::raw_sql(
        "INSERT INTO series (device_id, metric_name) \
         VALUES ('tiny', 'temperature'), ('good', 'temperature')",
    )
    .execute(&mut sql.0)
    .await
    .unwrap();
    let insert = "INSERT INTO points
                  SELECT $2 + make_interval(mins => minute) + make_interval(secs => at),
                         series_id, value
                  FROM series, generate_series(0, 59) AS minute,
                       unnest($3::float8[]) WITH ORDINALITY AS values (value, at)
                  WHERE device_id = $1";
    for (device, values) in [
        ("tiny", vec![0.0, 3e-162]),
        ("tiny", vec![5e-324, 0.0, 0.0]),
        ("good", vec![1.0, 2.0, 3.0]),
    ] {
        let start = if values.len() == 2 { hour - 3_600_000_000 } else { hour };
        sqlx::query(insert)
            .bind(device)
            .bind(Micros(start))
            .bind(values)
            .execute(&mut sql.0)
            .await
            .unwrap();
    }
    sqlx::query("SELECT compress_chunk(chunk) FROM show_chunks('points') AS chunk")
        .execute(&mut sql.0)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_database_that_tiny_values_stopped_heals_with_the_upgrade_and_keeps_the_values() {
    let database = OwnDatabase::start_empty().await;
    let mut sql = database.sql().await;
    sql.migrate_to(BEFORE_SAFE_ARITHMETIC).await;
    let hour = Granularity::Day.floor(now()) - 43_200_000_000 - 86_400_000_000;
    store_tiny_values(&mut sql, hour).await;
    let stopped = sql.run_refresh_job(Granularity::Minute).await.unwrap_err();
    assert!(stopped.to_string().contains("underflow"), "{stopped}");
    sql.close().await;

    db::migrate(&database.config()).await.unwrap();

    let mut sql = database.sql().await;
    for rollup in Granularity::ROLLUPS {
        sql.run_refresh_job(rollup).await.unwrap();
    }
    let services = Services::start_on(&database.url).await;
    wait_until_serving(&services.query_channel, "tidegauge.v1.QueryService").await;
    let interval = (hour - 3_600_000_000, hour + 3_600_000_000);
    for granularity in [v1::Granularity::Minute, v1::Granularity::Hour, v1::Granularity::Day] {
        for (device, count, last) in [("good", 180, 3.0), ("tiny", 300, 0.0)] {
            let (header, found) = services.aggregated(device, granularity, interval).await.unwrap();
            assert!(header.watermark.is_some(), "{granularity:?}");
            assert_eq!(found.count.iter().sum::<u64>(), count, "{device} {granularity:?}");
            assert_eq!(found.last.last(), Some(&last), "{device} {granularity:?}");
        }
    }
    let (_, found) = services.aggregated("tiny", v1::Granularity::Day, interval).await.unwrap();
    assert_eq!((found.min[0], found.max[0]), (0.0, 3e-162), "the upgrade changed stored values");
    for view in ["iot_data_1min", "iot_data_1hour", "iot_data_1day"] {
        let statement = sqlx::AssertSqlSafe(format!(
            "SELECT max(avg_value) FROM {view} WHERE device_id = 'good'"
        ));
        let average: f64 = sqlx::query_scalar(statement).fetch_one(&mut sql.0).await.unwrap();
        assert_eq!(average, 2.0, "{view}");
    }
}
