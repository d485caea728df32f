//! A database with random series, partly materialised, and the services that answer queries about
//! it.

use std::collections::BTreeMap;

use e2e::{OwnDatabase, Services, Sql, at, selector, wait_until_serving};
use rand::RngExt as _;
use rand::rngs::StdRng;
use shared::db::Micros;
use shared::proto::v1::{
    BucketsFrame, QueryAggregatedRequest, QueryHeader, query_aggregated_response::Frame,
};
use shared::time;
use tonic::Status;

use crate::brute::{DAY, MINUTE, Points};
use crate::random;

/// 2026-03-27T00:00:00Z, two days before a day of 23 hours in Berlin.
pub(crate) const BEGIN: i64 = 1_774_569_600_000_000;

/// A database of the test's own with some series, partly materialised.
pub(crate) struct Stage {
    pub(crate) services: Services,
    pub(crate) sql: Sql,
    pub(crate) series: BTreeMap<String, Points>,
    pub(crate) database: OwnDatabase,
}

impl Stage {
    pub(crate) async fn empty() -> Self {
        let database = OwnDatabase::start().await;
        let services = Services::start_on(&database.url).await;
        wait_until_serving(&services.query_channel, "tidegauge.v1.QueryService").await;
        let sql = database.sql().await;
        Self { services, sql, series: BTreeMap::new(), database }
    }

    /// Stores points with SQL, because ingest-service would reject such old ones.
    pub(crate) async fn store(&mut self, device: &str, points: &Points) {
        let statement = "WITH known AS (
                             INSERT INTO series (device_id, metric_name) VALUES ($1, 'temperature')
                             ON CONFLICT (device_id, metric_name)
                             DO UPDATE SET device_id = excluded.device_id
                             RETURNING series_id)
                         INSERT INTO points SELECT at, series_id, value
                         FROM known, unnest($2, $3) AS new (at, value)";
        let (times, values): (Vec<Micros>, Vec<f64>) =
            points.iter().map(|&(at, value)| (Micros(at), value)).unzip();
        sqlx::query(statement)
            .bind(device)
            .bind(times)
            .bind(values)
            .execute(&mut self.sql.0)
            .await
            .unwrap();
        self.series.entry(device.to_owned()).or_default().extend(points);
    }

    pub(crate) async fn ask(
        &self,
        request: &QueryAggregatedRequest,
    ) -> Result<(QueryHeader, Vec<BucketsFrame>), Status> {
        ask(&self.services, request).await
    }

    /// Returns the edges of buckets of a given width around the data, from the database's own
    /// calendar.
    pub(crate) async fn edges(&mut self, width: i64, zone: &str) -> Vec<i64> {
        const MONDAY: i64 = 946_857_600_000_000;
        let first = BEGIN - 110 * width.max(DAY);
        if zone.is_empty() || width % DAY != 0 {
            let first = first - (first - MONDAY).rem_euclid(width);
            return (0..)
                .map(|at| first + at * width)
                .take_while(|edge| *edge < BEGIN + 30 * DAY + 2 * width)
                .collect();
        }
        let statement = "SELECT (DATE '2000-01-03' + day)::timestamp AT TIME ZONE $1
                         FROM generate_series(7000, 9800) AS day WHERE day % $2 = 0 ORDER BY 1";
        let days = i32::try_from(width / DAY).unwrap();
        sqlx::query_scalar::<_, Micros>(statement)
            .bind(zone)
            .bind(days)
            .fetch_all(&mut self.sql.0)
            .await
            .unwrap()
            .into_iter()
            .map(|edge| edge.0)
            .collect()
    }
}

/// Returns the header, and one frame for each answer.
pub(crate) async fn ask(
    services: &Services,
    request: &QueryAggregatedRequest,
) -> Result<(QueryHeader, Vec<BucketsFrame>), Status> {
    let mut frames = services.query.clone().query_aggregated(request.clone()).await?.into_inner();
    let mut header = None;
    let mut answers = Vec::<BucketsFrame>::new();
    let mut footer = None;
    while let Some(response) = frames.message().await? {
        match response.frame.unwrap() {
            Frame::Header(frame) => header = Some(frame),
            Frame::Buckets(frame) => match answers.last_mut() {
                Some(last)
                    if last.series == frame.series
                        && last.selector_index == frame.selector_index =>
                {
                    random::extend(last, frame);
                }
                _ => answers.push(frame),
            },
            Frame::Footer(frame) => footer = Some(frame),
        }
    }
    let rows: usize = answers.iter().map(|answer| answer.bucket_starts_us.len()).sum();
    assert_eq!(footer.expect("a footer").row_count, rows as u64);
    Ok((header.expect("a header"), answers))
}

/// Starts a stage with series that have gaps, large values, a counter, a late start or sparse
/// points. Some points arrive after a refresh, and the watermark is inside the interval.
pub(crate) async fn filled(random: &mut StdRng) -> Stage {
    let mut stage = Stage::empty().await;
    let end = BEGIN + 5 * DAY;
    for (device, points) in random::series(random, BEGIN, end) {
        let (late, early): (Points, Points) =
            points.into_iter().partition(|_| random.random_bool(0.2));
        stage.store(&device, &early).await;
        stage.series.entry(device).or_default().extend(late);
    }
    let watermark = BEGIN + 2 * DAY + 500 * MINUTE;
    stage.sql.refresh(BEGIN - 40 * DAY, watermark).await;
    let stored = "SELECT timestamp FROM iot_data WHERE device_id = $1";
    for (device, mut points) in stage.series.clone() {
        let early: Vec<Micros> =
            sqlx::query_scalar(stored).bind(&device).fetch_all(&mut stage.sql.0).await.unwrap();
        let late: Points = points[early.len()..].to_vec();
        stage.store(&device, &late).await;
        points.sort_by(|one, other| one.partial_cmp(other).unwrap());
        stage.series.insert(device, points);
    }
    stage.sql.refresh(BEGIN - 40 * DAY, watermark).await;
    stage
}

/// Returns a request for the minutes of one device.
pub(crate) fn request(device: &str, start: i64, end: i64) -> QueryAggregatedRequest {
    QueryAggregatedRequest {
        selectors: vec![selector(device)],
        start: at(start),
        end: at(end),
        max_points: 1_000_000,
        ..Default::default()
    }
}

pub(crate) fn micros(timestamp: Option<&prost_types::Timestamp>) -> i64 {
    time::from_timestamp(timestamp.unwrap()).unwrap()
}
