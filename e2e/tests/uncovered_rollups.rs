//! Rollups never lose history silently. Points older than the refresh windows stay in every answer,
//! and a retention policy that is too short erases no rollup.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a failing test may panic

use std::time::Duration;

use e2e::{OwnDatabase, Services, Sql, now, series, wait_until_serving};
use shared::granularity::Granularity;
use shared::proto::v1::{self, Batch};

const HOUR: i64 = 3_600_000_000;
const DAY: i64 = 24 * HOUR;
const LEVELS: [v1::Granularity; 3] =
    [v1::Granularity::Minute, v1::Granularity::Hour, v1::Granularity::Day];

async fn run(sql: &mut Sql, statement: &'static str) {
    sqlx::raw_sql(statement).execute(&mut sql.0).await.unwrap();
}

/// Runs the refresh jobs of the rollups, the finest first.
async fn run_refreshes(sql: &mut Sql) {
    let jobs = "SELECT job_id FROM timescaledb_information.jobs \
                WHERE proc_name = 'refresh_rollup' ORDER BY job_id";
    for job in sqlx::query_scalar::<_, i32>(jobs).fetch_all(&mut sql.0).await.unwrap() {
        sqlx::query("CALL run_job($1)").bind(job).execute(&mut sql.0).await.unwrap();
    }
    Sql::forget_watermarks().await;
}

async fn run_retention(sql: &mut Sql) {
    let job =
        "SELECT job_id FROM timescaledb_information.jobs WHERE proc_name = 'policy_retention'";
    let job: i32 = sqlx::query_scalar(job).fetch_one(&mut sql.0).await.unwrap();
    sqlx::query("CALL run_job($1)").bind(job).execute(&mut sql.0).await.unwrap();
}

/// Sends hourly points of 1.0 in `[start, end]`. Returns how many were accepted.
async fn send_hourly(services: &Services, start: i64, end: i64) -> u64 {
    let times: Vec<i64> = (0..=(end - start) / HOUR).map(|hour| start + hour * HOUR).collect();
    let values = vec![1.0; times.len()];
    let result = services
        .send(Batch { series: vec![series("old", times, values)], ..Batch::default() })
        .await
        .unwrap();
    result.accepted_count
}

/// Returns the number of points in an answer at each granularity, and the explanations of the
/// granularities.
async fn counts(services: &Services, start: i64, end: i64) -> (Vec<u64>, Vec<String>) {
    let mut counts = Vec::new();
    let mut explanations = Vec::new();
    for level in LEVELS {
        let (header, buckets) = services.aggregated("old", level, (start, end)).await.unwrap();
        counts.push(buckets.count.iter().sum());
        explanations.push(header.granularity_explanation);
    }
    (counts, explanations)
}

#[tokio::test]
async fn points_older_than_the_refreshes_look_back_stay_in_every_answer() {
    let database = OwnDatabase::start().await;
    let mut sql = database.sql().await;
    run(&mut sql, "SELECT set_accepted_age('400 days')").await;
    let services = Services::start_ingest_with(&database.url, |config| {
        config.limits.oldest_accepted = Duration::from_secs(400 * 86_400);
    })
    .await;
    wait_until_serving(&services.ingest_channel, "tidegauge.v1.IngestService").await;
    // These settings conflict, as if an operator had changed them by hand.
    run(&mut sql, "SELECT set_accepted_age('30 days')").await;
    let end = Granularity::Hour.floor(now()) - 20 * DAY;
    let start = end - 40 * DAY;
    assert_eq!(send_hourly(&services, start, end).await, 961);
    let range = (start - DAY, end + DAY);
    Sql::forget_watermarks().await;
    assert_eq!(counts(&services, range.0, range.1).await.0, [961; 3]);
    for _ in 0..2 {
        run_refreshes(&mut sql).await;
        let (counted, explanations) = counts(&services, range.0, range.1).await;
        assert_eq!(counted, [961; 3]);
        for (explanation, relation) in
            explanations.iter().zip(["points_1min", "points_1hour", "points_1day"])
        {
            assert!(
                explanation.contains(&format!("; {relation} does not cover all days from ")),
                "{explanation}"
            );
        }
        // Another point arrives on the oldest day after the refresh.
        let again = send_hourly(&services, start + 1, start + 1).await;
        assert_eq!(again, 1);
        Sql::forget_watermarks().await;
        assert_eq!(counts(&services, range.0, range.1).await.0, [962; 3]);
        let removed = "DELETE FROM points WHERE \"timestamp\" = \
                       (SELECT min(\"timestamp\") + INTERVAL '1 us' FROM points)";
        run(&mut sql, removed).await;
        Sql::forget_watermarks().await;
        assert_eq!(
            counts(&services, range.0, range.1).await.0,
            [961; 3],
            "the deleted point is still counted"
        );
    }
    // A refresh with a large enough window materialises the points. Answers then need no raw
    // points.
    run(&mut sql, "SELECT set_accepted_age('400 days')").await;
    run_refreshes(&mut sql).await;
    let (counted, explanations) = counts(&services, range.0, range.1).await;
    assert_eq!(counted, [961; 3]);
    assert!(
        explanations.iter().all(|explanation| !explanation.contains("does not cover")),
        "{explanations:?}"
    );
}

#[tokio::test]
async fn a_refresh_by_hand_covers_what_the_jobs_do_not_look_back_to() {
    let database = OwnDatabase::start().await;
    let mut sql = database.sql().await;
    let services = Services::start_on(&database.url).await;
    wait_until_serving(&services.query_channel, "tidegauge.v1.QueryService").await;
    run(&mut sql, "INSERT INTO series (device_id, metric_name) VALUES ('old', 'temperature')")
        .await;
    run(
        &mut sql,
        "INSERT INTO points SELECT at, 1, 1.0
         FROM generate_series(now() - INTERVAL '60 days', now() - INTERVAL '20 days',
                              INTERVAL '1 hour') AS at",
    )
    .await;
    run_refreshes(&mut sql).await;
    run(&mut sql, "CALL refresh_rollups(now() - INTERVAL '90 days', now())").await;
    Sql::forget_watermarks().await;
    let (counted, explanations) = counts(&services, now() - 70 * DAY, now()).await;
    assert_eq!(counted, [961; 3]);
    assert!(
        explanations.iter().all(|explanation| !explanation.contains("does not cover")),
        "{explanations:?}"
    );
}

#[tokio::test]
async fn a_retention_policy_that_is_too_short_erases_no_rollup() {
    let database = OwnDatabase::start().await;
    let mut sql = database.sql().await;
    let services = Services::start_on(&database.url).await;
    wait_until_serving(&services.ingest_channel, "tidegauge.v1.IngestService").await;
    let end = Granularity::Hour.floor(now()) - 2 * DAY;
    let start = end - 25 * DAY + 2 * HOUR;
    let sent = send_hourly(&services, start, end).await;
    assert_eq!(sent, 599);
    let range = (start - DAY, end + DAY);
    run_refreshes(&mut sql).await;
    assert_eq!(counts(&services, range.0, range.1).await.0, [599; 3]);

    run(&mut sql, "SELECT add_retention_policy('points', INTERVAL '7 days')").await;
    run_retention(&mut sql).await;
    let left: i64 =
        sqlx::query_scalar("SELECT count(*) FROM points").fetch_one(&mut sql.0).await.unwrap();
    assert!(left < 200, "{left} raw points remain");
    for _ in 0..2 {
        run_refreshes(&mut sql).await;
        assert_eq!(counts(&services, range.0, range.1).await.0, [599; 3]);
        // A late point on a dropped day creates a new chunk. The refresh must not replace the day's
        // buckets by that point.
        assert_eq!(send_hourly(&services, start + 5 * DAY + 1, start + 5 * DAY + 1).await, 1);
    }
}

#[tokio::test]
async fn chunks_that_were_dropped_by_hand_erase_no_rollup() {
    let database = OwnDatabase::start().await;
    let mut sql = database.sql().await;
    let services = Services::start_on(&database.url).await;
    wait_until_serving(&services.ingest_channel, "tidegauge.v1.IngestService").await;
    let end = Granularity::Hour.floor(now()) - 2 * DAY;
    let start = end - 20 * DAY;
    assert_eq!(send_hourly(&services, start, end).await, 481);
    run_refreshes(&mut sql).await;
    run(&mut sql, "SELECT drop_chunks('points', older_than => INTERVAL '7 days')").await;
    run_refreshes(&mut sql).await;
    assert_eq!(counts(&services, start - DAY, end + DAY).await.0, [481; 3]);
}
