//! Rollups equal SQL and arithmetic over the raw points, at every granularity.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a failing test may panic

use e2e::{OwnDatabase, Services, Sql, now, series, unique, wait_until_serving};
use shared::db::{self, Micros};
use shared::granularity::Granularity;
use shared::proto::v1::{self, Batch, BucketsFrame};
use shared::time;

const HOUR: i64 = 3_600_000_000;
const DAY: i64 = 24 * HOUR;

fn midnight() -> i64 {
    Granularity::Day.floor(now())
}

/// Generates points at uneven times, so that buckets differ in size.
fn walk(start: i64, end: i64, value: impl Fn(usize) -> f64) -> (Vec<i64>, Vec<f64>) {
    let mut times = Vec::new();
    let mut time = start + 1;
    while time < end {
        times.push(time);
        time += 7_000_000 + i64::try_from(times.len() % 13).unwrap() * 1_500_000;
    }
    let values = (0..times.len()).map(value).collect();
    (times, values)
}

async fn send(services: &Services, device: &str, times: &[i64], values: &[f64]) {
    let columns = vec![series(device, times.to_vec(), values.to_vec())];
    let result = services.send(Batch { series: columns, ..Default::default() }).await.unwrap();
    assert_eq!(result.accepted_count, times.len() as u64);
}

/// Checks an answer against the raw points, bucket by bucket. Counts and extremes must be exact.
/// Averages and standard deviations must be within the relative `tolerance` of a two-pass
/// computation.
fn check(buckets: &BucketsFrame, width: i64, times: &[i64], values: &[f64], tolerance: f64) {
    let close = |found: f64, expected: f64, what: &str| {
        let error = (found - expected).abs() / expected.abs().max(f64::MIN_POSITIVE);
        assert!(
            error <= tolerance,
            "{what}: found {found}, expected {expected} (off by {error:e})"
        );
    };
    let mut counted = 0;
    for (index, &start) in buckets.bucket_starts_us.iter().enumerate() {
        let in_bucket: Vec<(i64, f64)> = times
            .iter()
            .zip(values)
            .filter(|(time, _)| (start..start + width).contains(*time))
            .map(|(&time, &value)| (time, value))
            .collect();
        let n = in_bucket.len() as f64;
        counted += in_bucket.len();
        let inside = || in_bucket.iter().map(|(_, value)| *value);
        let mean = inside().sum::<f64>() / n;
        let variance = inside().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0);
        assert_eq!(buckets.count[index], in_bucket.len() as u64);
        assert_eq!(buckets.max[index], inside().fold(f64::MIN, f64::max));
        assert_eq!(buckets.min[index], inside().fold(f64::MAX, f64::min));
        assert_eq!(buckets.first[index], in_bucket.iter().min_by_key(|(time, _)| *time).unwrap().1);
        assert_eq!(buckets.last[index], in_bucket.iter().max_by_key(|(time, _)| *time).unwrap().1);
        assert_eq!(
            buckets.avg[index],
            buckets.sum[index] / buckets.count[index] as f64,
            "avg must be sum / count"
        );
        close(buckets.avg[index], mean, "avg");
        if in_bucket.len() == 1 {
            assert!(buckets.stddev[index].is_nan());
        } else {
            close(buckets.stddev[index], variance.sqrt(), "stddev");
        }
    }
    assert_eq!(counted, times.len(), "every point must be in one bucket");
}

/// Starts a database with thirty hours of points of a device. Returns their interval, times and
/// values too.
async fn thirty_hours(device: &str) -> (OwnDatabase, Services, [i64; 2], (Vec<i64>, Vec<f64>)) {
    let database = OwnDatabase::start().await;
    let services = Services::start_on(&database.url).await;
    wait_until_serving(&services.ingest_channel, "tidegauge.v1.IngestService").await;
    let end = midnight() - 3 * DAY;
    let start = end - 30 * HOUR;
    let (times, values) = walk(start, end, |at| (at as f64 / 50.0).cos() * 3.0);
    send(&services, device, &times, &values).await;
    (database, services, [start, end], (times, values))
}

const LEVELS: [(v1::Granularity, i64); 3] = [
    (v1::Granularity::Minute, 60_000_000),
    (v1::Granularity::Hour, HOUR),
    (v1::Granularity::Day, DAY),
];

#[tokio::test]
async fn every_level_equals_the_raw_points_also_after_late_points() {
    let services = Services::start().await;
    let mut sql = Sql::connect().await;
    let device = unique("levels");
    let end = midnight() - 3 * DAY;
    let start = end - 30 * HOUR;
    let (times, values) =
        walk(start, end, |at| 20.0 + (at as f64 / 100.0).sin() * 5.0 + (at % 7) as f64 * 0.25);
    let (early, late): (Vec<usize>, Vec<usize>) = (0..times.len()).partition(|at| at % 3 != 0);
    let pick = |chosen: &[usize]| -> (Vec<i64>, Vec<f64>) {
        chosen.iter().map(|&at| (times[at], values[at])).unzip()
    };
    let (early_times, early_values) = pick(&early);
    send(&services, &device, &early_times, &early_values).await;
    sql.refresh(start - DAY, end).await;
    for (granularity, width) in LEVELS {
        let (_, buckets) = services.aggregated(&device, granularity, (start, end)).await.unwrap();
        check(&buckets, width, &early_times, &early_values, 1e-9);
    }
    let (late_times, late_values) = pick(&late);
    send(&services, &device, &late_times, &late_values).await;
    sql.refresh(start - DAY, end).await;
    for (granularity, width) in LEVELS {
        let (header, buckets) =
            services.aggregated(&device, granularity, (start, end)).await.unwrap();
        assert_eq!(header.granularity(), granularity);
        let watermark = time::from_timestamp(&header.watermark.unwrap()).unwrap();
        assert!(watermark >= end, "materialised up to {watermark}, expected {end}");
        check(&buckets, width, &times, &values, 1e-9);
        assert_eq!(
            from_raw_points(&mut sql, &device, width, end).await,
            (buckets.bucket_starts_us, buckets.count)
        );
    }
}

#[tokio::test]
async fn live_and_materialised_buckets_meet_without_gap_or_double() {
    let (database, services, [start, end], (times, values)) = thirty_hours("live").await;
    let mut sql = database.sql().await;
    for refreshed_to in [None, Some(start + 7 * HOUR + 60_000_000), Some(end)] {
        if let Some(refreshed_to) = refreshed_to {
            sql.refresh(start - DAY, refreshed_to).await;
        }
        for (granularity, width) in LEVELS {
            let (header, buckets) =
                services.aggregated("live", granularity, (start, end)).await.unwrap();
            assert_eq!(header.watermark.is_some(), refreshed_to.is_some());
            check(&buckets, width, &times, &values, 1e-9);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_right_while_the_watermarks_move() {
    let (database, services, [start, end], (times, values)) = thirty_hours("moving").await;
    let mut sql = database.sql().await;
    let refreshing = async {
        for hour in 1..=30 {
            for rollup in Granularity::ROLLUPS {
                db::refresh(&mut sql.0, rollup, start - 2 * DAY, start + hour * HOUR)
                    .await
                    .unwrap();
            }
        }
    };
    let mut asked = 0;
    let asking = async {
        loop {
            for (granularity, width) in LEVELS {
                let (_, buckets) =
                    services.aggregated("moving", granularity, (start, end)).await.unwrap();
                check(&buckets, width, &times, &values, 1e-9);
                asked += 1;
            }
        }
    };
    tokio::select! {
        () = refreshing => {}
        () = asking => {}
    }
    assert!(asked > LEVELS.len(), "{asked}");
}

/// Returns bucket starts and counts as SQL computes them from the raw points.
async fn from_raw_points(
    sql: &mut Sql,
    device: &str,
    width: i64,
    end: i64,
) -> (Vec<i64>, Vec<u64>) {
    let statement = "SELECT time_bucket(make_interval(secs => $2), timestamp) AS bucket, count(*)
                     FROM iot_data WHERE device_id = $1 AND timestamp < $3
                     GROUP BY bucket ORDER BY bucket";
    let rows: Vec<(Micros, i64)> = sqlx::query_as(statement)
        .bind(device)
        .bind(width as f64 / 1e6)
        .bind(Micros(end))
        .fetch_all(&mut sql.0)
        .await
        .unwrap();
    rows.into_iter().map(|(bucket, count)| (bucket.0, count.unsigned_abs())).unzip()
}

#[tokio::test]
async fn the_policies_bring_late_points_into_every_level_and_the_watermark_on() {
    let database = OwnDatabase::start().await;
    let services = Services::start_on(&database.url).await;
    wait_until_serving(&services.ingest_channel, "tidegauge.v1.IngestService").await;
    let mut sql = database.sql().await;
    let end = midnight() - DAY;
    let start = end - 20 * HOUR;
    let (times, values) = walk(start, end, |at| (at as f64 / 50.0).cos() * 3.0);
    let half = times.len() / 2;
    let mut before = 0;
    // The later half is sent first. The earlier half is then late, because the watermark has passed
    // it.
    for (from, to) in [(half, times.len()), (0, half)] {
        send(&services, "late", &times[from..to], &values[from..to]).await;
        let jobs = "SELECT job_id FROM timescaledb_information.jobs
                    WHERE proc_name = 'refresh_rollup' ORDER BY job_id";
        for job in sqlx::query_scalar::<_, i32>(jobs).fetch_all(&mut sql.0).await.unwrap() {
            sqlx::query("CALL run_job($1)").bind(job).execute(&mut sql.0).await.unwrap();
        }
        Sql::forget_watermarks().await;
        for (granularity, width) in LEVELS {
            let (header, buckets) =
                services.aggregated("late", granularity, (start, end)).await.unwrap();
            let watermark = time::from_timestamp(&header.watermark.unwrap()).unwrap();
            assert!(watermark >= end && watermark >= before, "materialised up to {watermark}");
            check(&buckets, width, &times[from..], &values[from..], 1e-9);
            before = before.max(end);
        }
    }
}

#[tokio::test]
async fn means_and_deviations_are_right_for_large_values_with_a_small_spread() {
    let services = Services::start().await;
    let mut sql = Sql::connect().await;
    let device = unique("stable");
    let end = midnight() - 5 * DAY;
    let start = end - 26 * HOUR;
    let (times, values) = walk(start, end, |at| 1e9 + 0.1 * (at as f64 * 0.7).sin());
    send(&services, &device, &times, &values).await;
    sql.refresh(start - DAY, end).await;
    for (granularity, width) in LEVELS {
        let (_, buckets) = services.aggregated(&device, granularity, (start, end)).await.unwrap();
        check(&buckets, width, &times, &values, 1e-6);
    }
}

#[tokio::test]
async fn the_largest_values_that_are_accepted_break_no_rollup() {
    let services = Services::start().await;
    let mut sql = Sql::connect().await;
    let device = unique("largest");
    let end = midnight() - 5 * DAY;
    let start = end - 26 * HOUR;
    let (times, values) = walk(start, end, |at| if at % 3 == 0 { 1e100 } else { -1e99 });
    send(&services, &device, &times, &values).await;
    sql.refresh(start - DAY, end).await;
    for (granularity, width) in LEVELS {
        let (_, buckets) = services.aggregated(&device, granularity, (start, end)).await.unwrap();
        check(&buckets, width, &times, &values, 1e-6);
    }
}

#[tokio::test]
async fn sql_users_find_the_rollups_under_the_names_they_know() {
    let services = Services::start().await;
    let mut sql = Sql::connect().await;
    let device = unique("views");
    let time = midnight() - 2 * DAY + HOUR;
    send(&services, &device, &[time, time + 1, time + 2], &[1.0, 2.0, 6.0]).await;
    sql.refresh(time - DAY, time + DAY).await;
    for view in ["iot_data_1min", "iot_data_1hour", "iot_data_1day"] {
        let statement = format!(
            "SELECT sum(count)::int8, max(max_value), min(min_value)
             FROM {view} WHERE device_id = $1"
        );
        let row: (i64, f64, f64) = sqlx::query_as(sqlx::AssertSqlSafe(statement))
            .bind(&device)
            .fetch_one(&mut sql.0)
            .await
            .unwrap();
        assert_eq!(row, (3, 6.0, 1.0), "{view}");
    }
}
