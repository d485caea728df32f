//! A rollup row that cannot be computed stops no other row, shows as a failing job, and heals once
//! its points are corrected.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a failing test may panic

use e2e::{OwnDatabase, Services, Sql, get, now, series, until, wait_until_serving};
use shared::db::Micros;
use shared::granularity::Granularity;
use shared::proto::v1::{self, Batch, BucketsFrame, QueryHeader};
use shared::time;

const MINUTE: i64 = 60_000_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// A value that no producer can send, because its square overflows float8.
const POISON: f64 = 1e300;

async fn send(services: &Services, device: &str, times: Vec<i64>) {
    let values = vec![2.0; times.len()];
    let batch = Batch { series: vec![series(device, times, values)], ..Default::default() };
    services.send(batch).await.unwrap();
}

/// Stores values with SQL, because ingest-service rejects them.
async fn poison(sql: &mut Sql, device: &str, minute: i64) {
    let insert = "INSERT INTO points SELECT at, series_id, value
                  FROM series, unnest($2, $3) AS new (at, value) WHERE device_id = $1";
    sqlx::query(insert)
        .bind(device)
        .bind([minute + 1, minute + 2].map(Micros).to_vec())
        .bind(vec![POISON, -POISON])
        .execute(&mut sql.0)
        .await
        .unwrap();
}

async fn buckets(
    services: &Services,
    device: &str,
    granularity: v1::Granularity,
    (start, end): (i64, i64),
) -> (QueryHeader, BucketsFrame) {
    services.aggregated(device, granularity, (start, end)).await.unwrap()
}

/// Returns the number of failing refresh jobs, as reported by a service that starts now.
async fn failing(database: &OwnDatabase) -> String {
    let services = Services::start_on(&database.url).await;
    let name = "tidegauge_database_jobs_failing{procedure=\"refresh_rollup\"";
    let found = until("the service samples the database", async || {
        let (_, metrics) = get(&services.ingest_http, "/metrics").await.ok()?;
        let line = metrics.lines().find(|line| line.starts_with(name))?;
        Some(line.rsplit(' ').next()?.to_owned())
    })
    .await;
    services.begin_shutdown();
    services.ended().await;
    found
}

/// Runs the refresh jobs of all rollups. Returns those that fail.
async fn run_jobs(sql: &mut Sql) -> Vec<(Granularity, String)> {
    let mut failed = Vec::new();
    for rollup in Granularity::ROLLUPS {
        if let Err(error) = sql.run_refresh_job(rollup).await {
            failed.push((rollup, error.to_string()));
        }
    }
    Sql::forget_watermarks().await;
    failed
}

/// Returns the buckets of the device that are set aside in the minute rollup. Checks that no others
/// are.
async fn set_aside(sql: &mut Sql, device: &str) -> Vec<i64> {
    let others = "SELECT count(*) FROM rollup_rows_set_aside LEFT JOIN series USING (series_id)
                  WHERE device_id IS DISTINCT FROM $1 OR rollup <> 'points_1min'";
    let others: i64 = sqlx::query_scalar(others).bind(device).fetch_one(&mut sql.0).await.unwrap();
    assert_eq!(others, 0, "rows of other series or rollups are set aside");
    let statement = "SELECT bucket FROM rollup_rows_set_aside ORDER BY bucket";
    let rows: Vec<Micros> = sqlx::query_scalar(statement).fetch_all(&mut sql.0).await.unwrap();
    rows.into_iter().map(|bucket| bucket.0).collect()
}

#[tokio::test]
async fn a_poisoned_minute_of_a_series_stops_nothing_else_shows_in_the_metric_and_heals() {
    let database = OwnDatabase::start().await;
    let services = Services::start_on(&database.url).await;
    wait_until_serving(&services.ingest_channel, "tidegauge.v1.IngestService").await;
    let mut sql = database.sql().await;
    let begin = Granularity::Hour.floor(now()) - 8 * HOUR;
    let whole = (begin, begin + 6 * HOUR);
    let minutes = || (0..360).map(|minute| begin + minute * MINUTE);
    for device in ["bad", "good"] {
        send(&services, device, minutes().collect()).await;
    }
    let poisoned = [begin + 70 * MINUTE, begin + 71 * MINUTE, begin + 200 * MINUTE];
    for minute in poisoned {
        poison(&mut sql, "bad", minute).await;
    }
    assert_eq!(failing(&database).await, "0");

    let failed = run_jobs(&mut sql).await;
    assert_eq!(failed[0].0, Granularity::Minute);
    assert!(failed[0].1.contains("value out of range"), "{failed:?}");
    let failed = run_jobs(&mut sql).await;
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert!(
        failed[0].1.contains("cannot compute 3 row(s) of points_1min, the first at"),
        "{failed:?}"
    );
    assert_eq!(set_aside(&mut sql, "bad").await, poisoned);
    assert_eq!(failing(&database).await, "1");

    let (header, found) = buckets(&services, "good", v1::Granularity::Minute, whole).await;
    assert!(
        time::from_timestamp(&header.watermark.unwrap()).unwrap() >= whole.1,
        "the watermark did not advance"
    );
    assert_eq!(
        found.bucket_starts_us,
        minutes().collect::<Vec<_>>(),
        "a minute of another series is affected"
    );
    let (_, found) = buckets(&services, "bad", v1::Granularity::Minute, whole).await;
    let others: Vec<i64> = minutes().filter(|minute| !poisoned.contains(minute)).collect();
    assert_eq!(found.bucket_starts_us, others, "another minute of the series is affected");

    late_points_arrive_beside_the_poison(&services, &mut sql, begin, &poisoned).await;
    assert_eq!(failing(&database).await, "1", "the job looks healthy although it still fails");

    sqlx::query("DELETE FROM points WHERE abs(value) > 1e200").execute(&mut sql.0).await.unwrap();
    assert_eq!(run_jobs(&mut sql).await, []);
    assert!(set_aside(&mut sql, "bad").await.is_empty());
    assert_eq!(failing(&database).await, "0");
    for (device, late) in [("bad", 0), ("good", 2)] {
        for granularity in [v1::Granularity::Minute, v1::Granularity::Hour] {
            let (_, found) = buckets(&services, device, granularity, whole).await;
            assert_eq!(found.count.iter().sum::<u64>(), 360 + late, "{device} {granularity:?}");
        }
    }
}

/// Checks that late points of another device arrive, both in a poisoned minute and in a sound one.
async fn late_points_arrive_beside_the_poison(
    services: &Services,
    sql: &mut Sql,
    begin: i64,
    poisoned: &[i64],
) {
    let sound = begin + 72 * MINUTE;
    send(services, "good", vec![poisoned[0] + 3, sound + 3]).await;
    let failed = run_jobs(sql).await;
    assert_eq!(failed.len(), 1, "{failed:?}");
    for minute in [poisoned[0], sound] {
        let (_, found) =
            buckets(services, "good", v1::Granularity::Minute, (minute, minute + MINUTE)).await;
        assert_eq!(found.count, [2], "the late point is missing from the rollup");
    }
    let hour = Granularity::Hour.floor(sound);
    let (_, found) = buckets(services, "good", v1::Granularity::Hour, (hour, hour + HOUR)).await;
    assert_eq!(found.count, [62], "expected 60 minutes and both late points");
    let (_, found) = buckets(services, "bad", v1::Granularity::Hour, (hour, hour + HOUR)).await;
    assert_eq!(found.count, [58], "expected 60 minutes without the two poisoned ones");
    let day = Granularity::Day.floor(sound);
    assert!(
        !buckets(services, "good", v1::Granularity::Day, (day, day + DAY)).await.1.count.is_empty()
    );
}

#[tokio::test]
async fn a_run_that_was_cut_off_sets_nothing_aside() {
    let database = OwnDatabase::start().await;
    let services = Services::start_on(&database.url).await;
    wait_until_serving(&services.ingest_channel, "tidegauge.v1.IngestService").await;
    let mut sql = database.sql().await;
    let minute = Granularity::Minute.floor(now()) - 2 * HOUR;
    send(&services, "cut", vec![minute]).await;
    // This row is left behind by a run whose server crashes.
    sqlx::query("INSERT INTO rollup_refreshes VALUES ('points_1min', now())")
        .execute(&mut sql.0)
        .await
        .unwrap();
    assert_eq!(run_jobs(&mut sql).await, []);
    assert!(set_aside(&mut sql, "bad").await.is_empty());
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM rollup_refreshes")
        .fetch_one(&mut sql.0)
        .await
        .unwrap();
    assert_eq!(left, 0);
    let (header, found) =
        buckets(&services, "cut", v1::Granularity::Minute, (minute, minute + MINUTE)).await;
    assert!(time::from_timestamp(&header.watermark.unwrap()).unwrap() > minute);
    assert_eq!(found.count, [1]);
}
