//! AUTO reads raw points if that is faster than reading minutes, and gives the same answer.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a failing test may panic

use e2e::{OwnDatabase, Services, Sql, at, now, selector, wait_until_serving};
use shared::granularity::Granularity;
use shared::proto::v1::{
    self, BucketsFrame, GranularityReason, QueryAggregatedRequest, QueryHeader, Statistic,
    query_aggregated_response,
};
use shared::time;

const MINUTE: i64 = 60_000_000;
const DAY: i64 = 1_440 * MINUTE;
const DAYS: i64 = 4;

/// Starts a database with four days of points at a fixed interval, all materialised.
async fn filled(seconds: f64) -> (OwnDatabase, Services, Sql, i64) {
    let database = OwnDatabase::start().await;
    let mut sql = database.sql().await;
    let end = Granularity::Day.floor(now()) - 10 * DAY;
    let statement = "WITH known AS (
                         INSERT INTO series (device_id, metric_name)
                         VALUES ('d', 'temperature') RETURNING series_id)
                     INSERT INTO points
                     SELECT at, series_id, sin(extract(epoch FROM at)::float8)
                     FROM known, generate_series(
                         $1, $2 - interval '1 s', make_interval(secs => $3)) AS at";
    sqlx::query(statement)
        .bind(shared::db::Micros(end - DAYS * DAY))
        .bind(shared::db::Micros(end))
        .bind(seconds)
        .execute(&mut sql.0)
        .await
        .unwrap();
    sql.refresh(end - 2 * DAYS * DAY, end).await;
    let services = Services::start_on(&database.url).await;
    wait_until_serving(&services.query_channel, "tidegauge.v1.QueryService").await;
    (database, services, sql, end)
}

async fn compact(sql: &mut Sql) {
    let statement = "SELECT count(compress_chunk(chunk)) FROM show_chunks('points') AS chunk";
    sqlx::query(statement).execute(&mut sql.0).await.unwrap();
}

/// Queries averages over ten minutes.
async fn averages(
    services: &Services,
    granularity: v1::Granularity,
    end: i64,
) -> (QueryHeader, BucketsFrame) {
    let request = QueryAggregatedRequest {
        selectors: vec![selector("d")],
        start: at(end - DAYS * DAY),
        end: at(end),
        granularity: granularity as i32,
        bucket_width: Some(time::to_duration(10 * MINUTE)),
        statistics: vec![Statistic::Avg as i32, Statistic::Count as i32],
        ..Default::default()
    };
    let mut frames = services.query.clone().query_aggregated(request).await.unwrap().into_inner();
    let mut header = None;
    let mut all = BucketsFrame::default();
    while let Some(response) = frames.message().await.unwrap() {
        match response.frame.unwrap() {
            query_aggregated_response::Frame::Header(frame) => header = Some(frame),
            query_aggregated_response::Frame::Buckets(buckets) => {
                all.bucket_starts_us.extend(buckets.bucket_starts_us);
                all.avg.extend(buckets.avg);
                all.count.extend(buckets.count);
            }
            query_aggregated_response::Frame::Footer(_) => {}
        }
    }
    (header.unwrap(), all)
}

#[tokio::test]
async fn few_compacted_points_are_read_instead_of_minutes_and_give_the_same_answer() {
    let (_database, services, mut sql, end) = filled(30.0).await;
    let (header, _) = averages(&services, v1::Granularity::Auto, end).await;
    assert_eq!(
        header.granularity(),
        v1::Granularity::Minute,
        "uncompacted points should not be read"
    );
    compact(&mut sql).await;
    // A service caches for a minute which chunks are compacted, so a new one is started.
    let services = Services::start_on(&_database.url).await;
    wait_until_serving(&services.query_channel, "tidegauge.v1.QueryService").await;
    let (header, found) = averages(&services, v1::Granularity::Auto, end).await;
    assert_eq!(header.granularity(), v1::Granularity::Raw, "{}", header.granularity_explanation);
    assert_eq!(header.granularity_reason(), GranularityReason::BucketWidth);
    let explanation = "about 11520 of them take less time than 5760 minutes";
    assert!(
        header.granularity_explanation.contains(explanation),
        "{}",
        header.granularity_explanation
    );
    let (header, expected) = averages(&services, v1::Granularity::Minute, end).await;
    assert_eq!(
        header.granularity(),
        v1::Granularity::Minute,
        "an explicit granularity must be used"
    );
    assert_eq!(found.bucket_starts_us, expected.bucket_starts_us);
    assert_eq!(found.count, vec![20; 576]);
    assert_eq!(found.count, expected.count);
    for (found, expected) in found.avg.iter().zip(&expected.avg) {
        assert!((found - expected).abs() < 1e-12, "found {found}, expected {expected}");
    }
}

#[tokio::test]
async fn many_points_are_never_read_instead_of_minutes() {
    let (_database, services, mut sql, end) = filled(2.0).await;
    compact(&mut sql).await;
    let (header, found) = averages(&services, v1::Granularity::Auto, end).await;
    assert_eq!(header.granularity(), v1::Granularity::Minute, "{}", header.granularity_explanation);
    assert_eq!(found.count, vec![300; 576]);
}
