//! Rollups materialised while their last bucket was open, as an open-ended refresh does. No answer
//! misses a point.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a failing test may panic

use e2e::{OwnDatabase, Services, Sql, at, now, wait_until_serving};
use shared::db::{self, Micros};
use shared::granularity::Granularity;
use shared::proto::v1::{self, AnomalyMethod, DetectAnomaliesRequest, SeriesKey};
use shared::time;
use sqlx::AssertSqlSafe;

const MINUTE: i64 = 60_000_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const DEVICE: &str = "open";
const LEVELS: [v1::Granularity; 3] =
    [v1::Granularity::Minute, v1::Granularity::Hour, v1::Granularity::Day];

struct Stage {
    services: Services,
    sql: Sql,
    times: Vec<i64>,
    _database: OwnDatabase,
}

impl Stage {
    async fn empty() -> Self {
        let database = OwnDatabase::start().await;
        let services = Services::start_on(&database.url).await;
        wait_until_serving(&services.query_channel, "tidegauge.v1.QueryService").await;
        Self { services, sql: database.sql().await, times: Vec::new(), _database: database }
    }

    /// Stores points with SQL. Each value is the number of its point.
    async fn store(&mut self, times: &[i64]) {
        let statement = "WITH known AS (
                             INSERT INTO series (device_id, metric_name) VALUES ($1, 'temperature')
                             ON CONFLICT (device_id, metric_name)
                             DO UPDATE SET device_id = excluded.device_id
                             RETURNING series_id)
                         INSERT INTO points SELECT at, series_id, value
                         FROM known, unnest($2, $3) AS new (at, value)";
        let values: Vec<f64> = (0..times.len()).map(|at| (self.times.len() + at) as f64).collect();
        let micros: Vec<Micros> = times.iter().copied().map(Micros).collect();
        sqlx::query(statement)
            .bind(DEVICE)
            .bind(micros)
            .bind(values)
            .execute(&mut self.sql.0)
            .await
            .unwrap();
        self.times.extend(times);
    }

    /// Refreshes rollups up to and including the last bucket with points, even if it is still open.
    async fn refresh_open_ended(&mut self, rollups: &[Granularity]) {
        for rollup in rollups {
            let statement =
                format!("CALL refresh_continuous_aggregate('{}', NULL, NULL)", rollup.relation());
            sqlx::query(AssertSqlSafe(statement)).execute(&mut self.sql.0).await.unwrap();
        }
    }

    /// Returns the watermark of a rollup according to the database.
    async fn watermark(&mut self, rollup: Granularity) -> i64 {
        let statement = "SELECT _timescaledb_functions.cagg_watermark(mat_hypertable_id)
                         FROM _timescaledb_catalog.continuous_agg WHERE user_view_name = $1";
        sqlx::query_scalar(statement)
            .bind(rollup.relation())
            .fetch_one(&mut self.sql.0)
            .await
            .unwrap()
    }

    /// Checks every granularity against all stored points. No reported watermark may be beyond the
    /// bucket of `live_from`.
    async fn check(&self, what: &str, live_from: i64) {
        let first = *self.times.iter().min().unwrap();
        let last = *self.times.iter().max().unwrap();
        let values = 0..self.times.len();
        for (rollup, granularity) in Granularity::ROLLUPS.into_iter().zip(LEVELS) {
            let (header, buckets) = self
                .services
                .aggregated(DEVICE, granularity, (first - DAY, last + DAY))
                .await
                .unwrap();
            let count: u64 = buckets.count.iter().sum();
            let sum: f64 = buckets.sum.iter().sum();
            assert_eq!(
                (count, sum),
                (self.times.len() as u64, values.clone().sum::<usize>() as f64),
                "{what}: {granularity:?}"
            );
            let greatest = buckets.max.iter().copied().fold(f64::MIN, f64::max);
            assert_eq!(greatest, (self.times.len() - 1) as f64, "{what}: {granularity:?}");
            let watermark = header
                .watermark
                .map_or(i64::MIN, |watermark| time::from_timestamp(&watermark).unwrap());
            assert!(
                watermark <= rollup.floor(live_from),
                "{what}: {rollup:?} reports a watermark of {watermark}"
            );
        }
    }
}

#[tokio::test]
async fn points_of_an_open_bucket_are_in_every_answer_whatever_was_refreshed_without_an_end() {
    let [minutes, hours, days] = Granularity::ROLLUPS;
    let cases: [&[Granularity]; 4] =
        [&[minutes], &[hours], &[hours, days], &[minutes, hours, days]];
    for refreshed in cases {
        let mut stage = Stage::empty().await;
        let time = now();
        stage.store(&[time - 2 * DAY, time - 2 * HOUR, time - 2 * MINUTE, time]).await;
        // The policy would have left the minutes like this, without an open one.
        db::refresh(&mut stage.sql.0, minutes, time - 3 * DAY, minutes.floor(time - MINUTE))
            .await
            .unwrap();
        stage.refresh_open_ended(refreshed).await;
        for &rollup in refreshed {
            let open = rollup.floor(time - if rollup == minutes { 0 } else { 2 * MINUTE });
            assert!(
                stage.watermark(rollup).await > open,
                "the refresh left the last bucket of {rollup:?} after the watermark"
            );
        }
        stage.check(&format!("{refreshed:?} refreshed"), time).await;
        // These points are in the same minute, hour and day.
        stage.store(&[time + 1, time - 30_000_000, time + 2]).await;
        stage.check(&format!("{refreshed:?} refreshed, then three points more"), time).await;
    }
}

#[tokio::test]
async fn a_bucket_that_was_materialised_open_is_right_also_after_it_is_over() {
    let mut stage = Stage::empty().await;
    let hour = Granularity::Hour.floor(now()) - 5 * HOUR;
    // The state at twenty past: the rest of the minute, of the hour and of the next hour arrive
    // later. No policy runs.
    stage.store(&[hour - 3 * DAY, hour - HOUR, hour + 20 * MINUTE, hour + 20 * MINUTE + 10]).await;
    stage.refresh_open_ended(&Granularity::ROLLUPS).await;
    assert_eq!(stage.watermark(Granularity::Hour).await, hour + HOUR);
    stage.check("refreshed", i64::MAX).await;
    stage.store(&[hour + 20 * MINUTE + 20, hour + 40 * MINUTE, hour + 90 * MINUTE]).await;
    Sql::forget_watermarks().await;
    stage.check("the rest of the hour", hour + 20 * MINUTE).await;
    stage.sql.refresh(hour - 4 * DAY, hour + HOUR).await;
    stage.check("refreshed again, in bounds", i64::MAX).await;
}

#[tokio::test]
async fn baselines_hold_the_points_of_open_buckets() {
    let mut stage = Stage::empty().await;
    let hour = Granularity::Hour.floor(now()) - 5 * HOUR;
    let weekly = 7 * DAY;
    stage.store(&[hour - weekly, hour + 20 * MINUTE]).await;
    stage.refresh_open_ended(&Granularity::ROLLUPS).await;
    stage.store(&[hour + 20 * MINUTE + 1, hour + 30 * MINUTE]).await;
    Sql::forget_watermarks().await;
    let series = SeriesKey { device_id: DEVICE.to_owned(), metric_name: "temperature".to_owned() };
    let cases =
        [(AnomalyMethod::ZScore, hour + HOUR, 3), (AnomalyMethod::Seasonal, hour + weekly, 3)];
    for (method, start, expected) in cases {
        let request = DetectAnomaliesRequest {
            series: Some(series.clone()),
            start: at(start),
            end: at(start + HOUR),
            method: method as i32,
            ..Default::default()
        };
        let answer =
            stage.services.query.clone().detect_anomalies(request).await.unwrap().into_inner();
        assert_eq!(
            answer.baseline.unwrap().count,
            expected + u64::from(method == AnomalyMethod::Seasonal),
            "{method:?}"
        );
    }
}

#[tokio::test]
async fn the_role_of_the_service_may_read_what_answers_are_judged_by() {
    let mut sql = Sql::connect().await;
    let [watermarks, chunks] = [
        include_str!("../../query-service/src/sql/materialised.sql"),
        include_str!("../../query-service/src/sql/compacted_chunks.sql"),
    ];
    sqlx::raw_sql("BEGIN; SET LOCAL ROLE tidegauge_query").execute(&mut sql.0).await.unwrap();
    let rollups = Granularity::ROLLUPS;
    sqlx::query(watermarks)
        .bind(rollups.map(Granularity::relation))
        .bind(rollups.map(|rollup| rollup.bucket_micros().unwrap()))
        .fetch_all(&mut sql.0)
        .await
        .unwrap();
    sqlx::query(chunks).fetch_all(&mut sql.0).await.unwrap();
    sqlx::raw_sql("ROLLBACK").execute(&mut sql.0).await.unwrap();
}
