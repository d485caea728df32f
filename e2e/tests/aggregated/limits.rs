//! Refusals that name field and limit, and answers of many pages.

use e2e::{Services, at, batch, named, now, unique};
use shared::granularity::Granularity;
use shared::proto::v1::{self, GapFill, QueryAggregatedRequest, Statistic};
use shared::time;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::brute::{DAY, MINUTE, Points, close};
use crate::stage::{BEGIN, Stage, request};

#[tokio::test]
async fn bad_questions_are_refused_with_the_field_and_the_limit() {
    let services = Services::start().await;
    let device = unique("asked");
    let minute = Granularity::Minute.floor(now());
    services.send(batch(vec![named(&device, "temperature", minute, 1.0)])).await.unwrap();
    let whole = request(&device, minute, minute + MINUTE);
    let ask = |change: fn(&mut QueryAggregatedRequest)| {
        let mut request = whole.clone();
        let mut query = services.query.clone();
        change(&mut request);
        async move { query.query_aggregated(request).await.map(|_| ()).unwrap_err() }
    };
    let cases: [(Status, &str, &str); 6] = [
        (ask(|request| request.max_points = 1).await, "max_points", "2 to 1000000"),
        (
            ask(|request| request.bucket_width = Some(time::to_duration(MINUTE / 2))).await,
            "bucket_width",
            "1 minute",
        ),
        (
            ask(|request| request.time_zone = "Berlin".to_owned()).await,
            "time_zone",
            "Europe/Berlin",
        ),
        (ask(|request| request.statistics = vec![42]).await, "statistics", "RATE"),
        (ask(|request| request.gap_fill = 42).await, "gap_fill", "LINEAR"),
        (ask(fill_all_minutes).await, "gap_fill", "at most 10000000 are filled"),
    ];
    for (status, field, part) in cases {
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
        let violation = &status.get_details_bad_request().unwrap().field_violations[0];
        assert_eq!(violation.field, field);
        assert!(violation.description.contains(part), "{}", violation.description);
    }
}

fn fill_all_minutes(request: &mut QueryAggregatedRequest) {
    request.start = at(0);
    request.granularity = v1::Granularity::Minute as i32;
    request.gap_fill = GapFill::Null as i32;
}

#[tokio::test]
async fn long_answers_over_many_pages_come_whole_and_sparse_ones_at_once() {
    let mut stage = Stage::empty().await;
    let end = BEGIN + 29 * DAY;
    let points: Points = (1..=40).map(|at| (end - at * 17 * 60 * MINUTE, at as f64)).collect();
    stage.store("pages", &points).await;
    stage.sql.refresh(BEGIN - DAY, end - 3 * DAY).await;
    // The range is a thousand years of minutes. The work must be bounded by the stored points.
    let minutes = |start| QueryAggregatedRequest {
        granularity: v1::Granularity::Minute as i32,
        statistics: vec![Statistic::Avg as i32],
        ..request("pages", start, end)
    };
    let (_, answers) = stage.ask(&minutes(-30_000_000_000_000_000)).await.unwrap();
    assert_eq!(answers[0].avg, (1..=40).rev().map(f64::from).collect::<Vec<_>>());
    // 29 days of minutes with every gap filled exceed a page.
    let request = QueryAggregatedRequest { gap_fill: GapFill::Linear as i32, ..minutes(BEGIN) };
    let (_, answers) = stage.ask(&request).await.unwrap();
    let starts: Vec<i64> = (0..29 * 1_440).map(|minute| BEGIN + minute * MINUTE).collect();
    assert_eq!(answers[0].bucket_starts_us, starts);
    for (start, value) in starts.into_iter().zip(&answers[0].avg) {
        // The points are on one line. Before the first and after the last there is no value.
        let expected = (end - start) as f64 / (17 * 60 * MINUTE) as f64;
        assert!(
            if (1.0..=40.0).contains(&expected) {
                close(*value, expected, 0.0)
            } else {
                value.is_nan()
            },
            "{value} for {expected}"
        );
    }
}
