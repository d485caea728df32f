//! Retention in tiers: each rollup is kept for a different time.

use std::collections::BTreeMap;

use e2e::{Services, now, wait_until_serving};
use shared::granularity::Granularity;
use shared::proto::v1::{self, BucketsFrame, QueryAggregatedRequest, QueryHeader, Statistic};
use sqlx::AssertSqlSafe;
use tonic::Code;

use crate::brute::{DAY, MINUTE, Points};
use crate::stage::{Stage, micros, request};

#[tokio::test]
async fn parts_that_retention_dropped_come_from_coarser_rollups_and_the_header_says_so() {
    let mut stage = Stage::empty().await;
    // The points are old enough for policies of 2 and 10 days, with chunks of one day and of tens
    // of days.
    let today = Granularity::Day.floor(now());
    let points: Points =
        (0..40 * 144).map(|at| (today - 40 * DAY + at * 10 * MINUTE, at as f64)).collect();
    stage.store("tiers", &points).await;
    stage.sql.refresh(today - 60 * DAY, today).await;
    let whole = request("tiers", today - 40 * DAY, today);
    let (header, _) = stage.ask(&whole).await.unwrap();
    assert_eq!(
        (header.granularity(), header.segments.len()),
        (v1::Granularity::Minute, 1),
        "nothing should be dropped yet"
    );
    for (relation, days) in [("points", 1), ("points_1min", 2), ("points_1hour", 10)] {
        let policy = format!(
            "SELECT add_retention_policy('{relation}', drop_after => INTERVAL '{days} days')"
        );
        let job: i32 =
            sqlx::query_scalar(AssertSqlSafe(policy)).fetch_one(&mut stage.sql.0).await.unwrap();
        sqlx::query("CALL run_job($1)").bind(job).execute(&mut stage.sql.0).await.unwrap();
    }
    // A service caches retention policies for a minute, so a new one is started.
    let services = Services::start_on(&stage.database.url).await;
    wait_until_serving(&services.query_channel, "tidegauge.v1.QueryService").await;
    stage.services = services;
    let (header, answers) = stage.ask(&whole).await.unwrap();
    assert_eq!(header.granularity_reason(), v1::GranularityReason::Retention);
    let granularities: Vec<v1::Granularity> =
        header.segments.iter().map(v1::QuerySegment::granularity).collect();
    assert_eq!(
        granularities,
        [v1::Granularity::Day, v1::Granularity::Hour, v1::Granularity::Minute]
    );
    assert!(
        header.granularity_explanation.contains("no longer kept"),
        "{}",
        header.granularity_explanation
    );
    check_tiers(&header, &answers[0], &points);

    let rate = QueryAggregatedRequest { statistics: vec![Statistic::Rate as i32], ..whole.clone() };
    let status = stage.ask(&rate).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(
        status.message().contains("RATE is computed from points, which are kept from"),
        "{}",
        status.message()
    );
    let named = QueryAggregatedRequest { granularity: v1::Granularity::Minute as i32, ..whole };
    let (header, _) = stage.ask(&named).await.unwrap();
    assert_eq!(header.segments.len(), 1, "an explicit granularity must not be mixed");
    assert!(
        header.granularity_explanation.contains("points_1min is kept from"),
        "{}",
        header.granularity_explanation
    );
}

/// Checks that every point is in one bucket, and every bucket on the grid of its segment.
fn check_tiers(header: &QueryHeader, answer: &BucketsFrame, points: &Points) {
    let mut next = micros(header.effective_start.as_ref());
    for segment in &header.segments {
        let start = micros(segment.start.as_ref());
        let end = micros(segment.end.as_ref());
        let width = segment.bucket_width.as_ref().unwrap().seconds * 1_000_000;
        assert_eq!(start, next, "segments must be adjacent");
        next = end;
        let mut expected = BTreeMap::<i64, (u64, f64)>::new();
        for (at, value) in points.iter().filter(|(at, _)| (start..end).contains(at)) {
            let bucket = expected.entry(at - at.rem_euclid(width)).or_default();
            *bucket = (bucket.0 + 1, bucket.1 + value);
        }
        let rows = answer.bucket_starts_us.iter().zip(answer.count.iter().zip(&answer.sum));
        let found: Vec<(i64, (u64, f64))> = rows
            .filter(|(at, _)| (start..end).contains(*at))
            .map(|(&at, (&count, &sum))| (at, (count, sum)))
            .collect();
        assert_eq!(found, expected.into_iter().collect::<Vec<_>>(), "{segment:?}");
    }
    assert_eq!(next, micros(header.effective_end.as_ref()));
    assert_eq!(
        answer.count.iter().sum::<u64>(),
        points.len() as u64,
        "every point must be counted once"
    );
}
