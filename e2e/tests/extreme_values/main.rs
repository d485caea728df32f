//! Values from the whole accepted range. No refresh, view or call fails, and every answer equals
//! arithmetic over the points.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a failing test may panic

mod anomalies;
mod buckets;
mod values;

use std::collections::BTreeMap;

use e2e::{OwnDatabase, Services, Sql, now, series, wait_until_serving};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use shared::granularity::Granularity;
use shared::proto::v1::Batch;
use values::Points;

pub(crate) const MINUTE: i64 = 60_000_000;
pub(crate) const HOUR: i64 = 60 * MINUTE;
pub(crate) const DAY: i64 = 24 * HOUR;

/// Series with points in the same two hours of two days a week apart.
pub(crate) struct Stage {
    pub(crate) services: Services,
    pub(crate) series: BTreeMap<String, Points>,
    /// Start of the later two hours.
    pub(crate) later: i64,
    sql: Sql,
    _database: OwnDatabase,
}

impl Stage {
    async fn with_random_series(seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let database = OwnDatabase::start().await;
        let services = Services::start_on(&database.url).await;
        wait_until_serving(&services.ingest_channel, "tidegauge.v1.IngestService").await;
        wait_until_serving(&services.query_channel, "tidegauge.v1.QueryService").await;
        let later = Granularity::Hour.floor(now()) - 2 * DAY;
        let mut all = BTreeMap::new();
        for (device, kind) in values::KINDS {
            let mut points = Points::new();
            for start in [later - 7 * DAY, later] {
                points.extend(values::points(&mut random, kind, start, start + 2 * HOUR));
            }
            let (times, values): (Vec<i64>, Vec<f64>) = points.iter().copied().unzip();
            let batch = Batch { series: vec![series(device, times, values)], ..Default::default() };
            let stored = services.send(batch).await.unwrap();
            assert_eq!(stored.accepted_count, points.len() as u64, "{device}: {stored:?}");
            all.insert(device.to_owned(), points);
        }
        let sql = database.sql().await;
        Self { services, series: all, later, sql, _database: database }
    }

    /// Reads whole views, as SQL users do.
    async fn read_views(&mut self) {
        for view in ["iot_data", "iot_data_1min", "iot_data_1hour", "iot_data_1day"] {
            let statement = format!("SELECT count(found) FROM {view} AS found");
            let count: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(statement))
                .fetch_one(&mut self.sql.0)
                .await
                .unwrap();
            assert!(count > 0, "{view}");
        }
    }
}

#[tokio::test]
async fn every_accepted_value_passes_through_rollups_statistics_and_anomalies() {
    let seed = rand::random();
    println!("seed {seed}");
    let mut stage = Stage::with_random_series(seed).await;
    for what in ["live", "refreshed by the jobs"] {
        if what != "live" {
            for rollup in Granularity::ROLLUPS {
                stage.sql.run_refresh_job(rollup).await.unwrap();
            }
            Sql::forget_watermarks().await;
        }
        stage.read_views().await;
        buckets::check(&stage, what).await;
        anomalies::check(&stage, what).await;
    }
}
