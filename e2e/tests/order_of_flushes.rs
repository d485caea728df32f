//! Flushes that overlap in time are compressed as they are written. Every answer has their points
//! in order.
//!
//! The service disables the database's own sort, so it must write the points of each series newest
//! first. Random flushes over few series are compared with a model in memory: after writing, after
//! UPDATE and DELETE, and after compaction.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a failing test may panic

use std::collections::BTreeMap;

use e2e::{OwnDatabase, Services, Sql, at, now, series, wait_until_serving};
use ingest_service::config::DirectCompress;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use shared::proto::v1::{Batch, GetLatestRequest, Granularity};
use sqlx::AssertSqlSafe;

const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
const DAY: i64 = 1_440 * MINUTE;
const DEVICES: [&str; 4] = ["order-a", "order-b", "order-c", "order-d"];
/// Number of flushes between two checks.
const FLUSHES: usize = 250;
/// The same for the embedded database, which compresses no flush and is slower.
const FLUSHES_EMBEDDED: usize = 25;
/// Calls of GetLatest in each check. The database may switch to a generic plan after five
/// executions.
const ASKED: usize = 8;
/// Settings that forbid and force the merge of compressed pieces. The default plan is checked too.
const PLANS: [&str; 2] = [
    "SET timescaledb.enable_decompression_sorted_merge = off",
    "SET timescaledb.enable_decompression_sorted_merge = on; \
     SET timescaledb.debug_require_batch_sorted_merge = 'force'",
];
const PLANS_RESET: &str = "RESET timescaledb.enable_decompression_sorted_merge; \
                           RESET timescaledb.debug_require_batch_sorted_merge";

/// Time in microseconds and value, in the order of every answer.
type Points = Vec<(i64, f64)>;

/// The services on a database of their own, and a model of its content.
struct Fixture {
    services: Services,
    sql: Sql,
    /// Whether flushes are compressed as they are written.
    compresses: bool,
    /// Whether the chunks were compacted after the last flush.
    is_compacted: bool,
    random: StdRng,
    /// Midnight between the two days that receive points.
    middle: i64,
    expected: BTreeMap<&'static str, Points>,
    checks: usize,
}

impl Fixture {
    async fn start(database: &OwnDatabase, seed: u64) -> Self {
        let services = Services::start_ingest_with(&database.url, |config| {
            config.flush.direct_compress = DirectCompress::Always;
        })
        .await;
        wait_until_serving(&services.ingest_channel, "tidegauge.v1.IngestService").await;
        wait_until_serving(&services.query_channel, "tidegauge.v1.QueryService").await;
        let mut sql = database.sql().await;
        let served = sqlx::query_scalar(include_str!(
            "../../ingest-service/src/sql/direct_compress_served.sql"
        ));
        let compresses = served.fetch_one(&mut sql.0).await.unwrap();
        let middle = now() - now() % DAY - 3 * DAY;
        let random = StdRng::seed_from_u64(seed);
        let expected = DEVICES.map(|device| (device, Points::new())).into();
        Self { services, sql, compresses, is_compacted: false, random, middle, expected, checks: 0 }
    }

    /// Returns random points of a device: mostly rising times, some repeated, some falling back.
    fn columns(&mut self, device: &'static str) -> (Vec<i64>, Vec<f64>) {
        let count = match self.random.random_range(0..40) {
            0 => 2_500, // more than fits into a compressed piece
            _ => self.random.random_range(1..60),
        };
        let mut time = self.middle + self.random.random_range(-7_200..7_200) * SECOND;
        let mut timestamps = Vec::new();
        let mut values = Vec::new();
        for _ in 0..count {
            time += match self.random.random_range(0..20) {
                0 => -300 * SECOND,
                1..4 => 0,
                _ => SECOND,
            };
            timestamps.push(time);
            values.push(self.random.random_range(-1_000.0_f64..1_000.0).round());
        }
        let points = timestamps.iter().copied().zip(values.iter().copied());
        self.expected.get_mut(device).unwrap().extend(points);
        (timestamps, values)
    }

    fn batch(&mut self) -> Batch {
        let count = self.random.random_range(1..4);
        let columns = (0..count).map(|_| {
            let device = DEVICES[self.random.random_range(0..DEVICES.len())];
            let (timestamps, values) = self.columns(device);
            series(device, timestamps, values)
        });
        Batch { series: columns.collect(), ..Batch::default() }
    }

    /// Sends batches three at a time, so that flushes contain several runs of a series.
    async fn write(&mut self, flushes: usize) {
        self.is_compacted = false;
        for _ in 0..flushes {
            let batches = [self.batch(), self.batch(), self.batch()];
            let [one, two, three] = batches.map(|batch| self.services.send(batch));
            let answers = tokio::join!(one, two, three);
            for answer in [answers.0, answers.1, answers.2] {
                assert_eq!(answer.unwrap().rejected_count, 0);
            }
        }
        self.expected
            .values_mut()
            .for_each(|points| points.sort_by(|one, other| one.partial_cmp(other).unwrap()));
    }

    /// Updates and deletes points in compressed chunks.
    async fn update_and_delete(&mut self) {
        for device in DEVICES {
            let first = self.middle - self.random.random_range(0..3_600) * SECOND;
            let updated = first..first + 300 * SECOND;
            let deleted = first + 600 * SECOND..first + 900 * SECOND;
            let of_device = |verb: &str, range: &std::ops::Range<i64>| {
                format!(
                    "{verb} WHERE series_id =
                             (SELECT series_id FROM series WHERE device_id = '{device}')
                         AND \"timestamp\" >= to_timestamp({})
                         AND \"timestamp\" < to_timestamp({})",
                    range.start / SECOND,
                    range.end / SECOND
                )
            };
            let update = of_device("UPDATE points SET value = value + 0.5", &updated);
            let delete = of_device("DELETE FROM points", &deleted);
            sqlx::raw_sql(AssertSqlSafe(format!("{update}; {delete}")))
                .execute(&mut self.sql.0)
                .await
                .unwrap();
            let points = self.expected.get_mut(device).unwrap();
            points
                .iter_mut()
                .filter(|(time, _)| updated.contains(time))
                .for_each(|(_, value)| *value += 0.5);
            points.retain(|(time, _)| !deleted.contains(time));
        }
    }

    /// Writes to the newest timestamp of each device again, below and above the value that it has.
    async fn tie_newest(&mut self) {
        self.is_compacted = false;
        for device in DEVICES {
            let points = self.expected.get_mut(device).unwrap();
            let (time, value) = *points.last().unwrap();
            for tied in [value - 1.0, value + 1.0] {
                let timestamps = vec![time - SECOND, time];
                points.extend(timestamps.iter().map(|&time| (time, tied)));
                let batch = Batch {
                    series: vec![series(device, timestamps, vec![tied; 2])],
                    ..Batch::default()
                };
                assert_eq!(self.services.send(batch).await.unwrap().accepted_count, 2);
            }
            points.sort_by(|one, other| one.partial_cmp(other).unwrap());
        }
    }

    async fn compact(&mut self) {
        self.is_compacted = true;
        self.sql.run_compaction_job().await.unwrap();
    }

    async fn check(&mut self) {
        for device in DEVICES {
            let expected = self.expected[device].clone();
            self.check_sql(device, &expected).await;
            self.check_answers(device, &expected).await;
            self.checks += 1;
        }
        self.check_rollups().await;
    }

    /// Checks the order in which the database returns points, for each way of merging compressed
    /// pieces.
    async fn check_sql(&mut self, device: &str, expected: &Points) {
        let plans = if self.compresses { &PLANS[..] } else { &PLANS[..0] };
        for plan in std::iter::once(&"SELECT 1").chain(plans) {
            let forced = plan.ends_with("'force'");
            sqlx::raw_sql(*plan).execute(&mut self.sql.0).await.unwrap();
            for (order, limit) in [("DESC", "ALL"), ("DESC", "100"), ("ASC", "ALL"), ("ASC", "100")]
            {
                if forced && (order == "ASC" || self.is_compacted) {
                    continue; // only overlapping pieces read newest first are merged
                }
                let statement = format!(
                    "SELECT (extract(epoch FROM \"timestamp\") * 1000000)::int8, value FROM points
                     WHERE series_id = (SELECT series_id FROM series WHERE device_id = '{device}')
                     ORDER BY \"timestamp\" {order} LIMIT {limit}"
                );
                let found = sqlx::query_as(AssertSqlSafe(statement)).persistent(false);
                let found: Points = found.fetch_all(&mut self.sql.0).await.unwrap();
                let what =
                    format!("check {}, {device}, {plan}, {order} LIMIT {limit}", self.checks);
                compare(found, expected, order == "DESC", &what);
            }
        }
        sqlx::raw_sql(PLANS_RESET).execute(&mut self.sql.0).await.unwrap();
    }

    async fn check_answers(&self, device: &str, expected: &Points) {
        let found =
            self.services.range(device, self.middle - DAY, self.middle + DAY).await.unwrap();
        let found: Points = found.timestamps_us.into_iter().zip(found.values).collect();
        assert!(found == *expected, "check {}: QueryRange of {device}", self.checks);
        let &(time, value) = expected.last().unwrap();
        for _ in 0..ASKED {
            let request = GetLatestRequest { device_id: device.to_owned(), ..Default::default() };
            let latest = self
                .services
                .query
                .clone()
                .get_latest(request)
                .await
                .unwrap()
                .into_inner()
                .points
                .remove(0);
            assert_eq!(
                (latest.timestamp, latest.value),
                (at(time), value),
                "check {}: {device}",
                self.checks
            );
        }
    }

    async fn check_rollups(&mut self) {
        self.sql.refresh(self.middle - DAY, self.middle + DAY).await;
        for device in DEVICES {
            let mut minutes: BTreeMap<i64, Points> = BTreeMap::new();
            for &(time, value) in &self.expected[device] {
                minutes.entry(time - time % MINUTE).or_default().push((time, value));
            }
            let range = (self.middle - DAY, self.middle + DAY);
            let (_, found) =
                self.services.aggregated(device, Granularity::Minute, range).await.unwrap();
            assert_eq!(found.bucket_starts_us, minutes.keys().copied().collect::<Vec<_>>());
            let counts: Vec<u64> = minutes.values().map(|points| points.len() as u64).collect();
            assert_eq!(found.count, counts, "counts of {device}");
            let first: Vec<f64> = minutes.values().map(|points| points[0].1).collect();
            let last: Vec<f64> =
                minutes.values().map(|points| points[points.len() - 1].1).collect();
            assert_eq!((found.first, found.last), (first, last), "ends of the minutes of {device}");
        }
    }
}

/// Compares timestamps in order. Values of one timestamp may come in any order, and a limit may cut
/// them.
fn compare(found: Points, expected: &Points, newest_first: bool, what: &str) {
    let mut expected = expected.clone();
    if newest_first {
        expected.reverse();
    }
    let is_whole = found.len() == expected.len();
    expected.truncate(found.len());
    let times = |points: &Points| points.iter().map(|(time, _)| *time).collect::<Vec<_>>();
    let is_ordered = found
        .is_sorted_by(|one, other| if newest_first { one.0 >= other.0 } else { one.0 <= other.0 });
    assert!(is_ordered, "{what}: points are not in order");
    assert!(
        times(&found) == times(&expected),
        "{what}: the times of {} points differ from those sent",
        found.len()
    );
    if is_whole {
        let sorted = |mut points: Points| {
            points.sort_by(|one, other| one.partial_cmp(other).unwrap());
            points
        };
        assert!(sorted(found) == sorted(expected), "{what}: values differ from those sent");
    } else {
        assert_eq!(found.len(), 100, "{what}");
    }
}

#[tokio::test]
async fn points_of_overlapping_flushes_come_in_order_whatever_was_done_to_their_chunks() {
    let database = OwnDatabase::start().await;
    let mut fixture = Fixture::start(&database, 20).await;
    let flushes = if fixture.compresses { FLUSHES } else { FLUSHES_EMBEDDED };
    fixture.write(flushes).await;
    fixture.check().await;
    fixture.update_and_delete().await;
    fixture.check().await;
    fixture.write(flushes).await;
    fixture.compact().await;
    fixture.check().await;
    fixture.tie_newest().await; // the plans of the last check are kept
    fixture.check().await;
    fixture.write(flushes).await;
    fixture.check().await;
    fixture.update_and_delete().await;
    fixture.write(flushes).await;
    fixture.compact().await;
    fixture.check().await;
    fixture.services.begin_shutdown();
    fixture.services.ended().await;
}
