//! The newest points, and the disk usage of all points.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a failing test may panic

use e2e::{Services, Sql, at, batch, named, now, unique};
use shared::proto::v1::{GetLatestRequest, GetLatestResponse, GetStorageStatsRequest, SeriesKey};
use tonic::{Code, Status};

const DAY: i64 = 86_400_000_000;

async fn latest(
    services: &Services,
    series: &[(&str, &str)],
    device_id: &str,
) -> Result<GetLatestResponse, Status> {
    let key = |&(device, metric): &(&str, &str)| SeriesKey {
        device_id: device.into(),
        metric_name: metric.into(),
    };
    let request = GetLatestRequest {
        series: series.iter().map(key).collect(),
        device_id: device_id.to_owned(),
    };
    Ok(services.query.clone().get_latest(request).await?.into_inner())
}

fn values(answer: &GetLatestResponse) -> Vec<f64> {
    answer.points.iter().map(|point| point.value).collect()
}

#[tokio::test]
async fn newest_points_come_in_the_order_of_the_request_however_old_they_are() {
    let services = Services::start().await;
    let device = unique("newest");
    let now = now();
    let ages = [("a", 0), ("b", 2 * DAY), ("c", 20 * DAY), ("d", 3_600_000_000)];
    let points = ages.iter().enumerate().flat_map(|(value, &(metric, age))| {
        let older = (1..50).map(move |step| (step * 1_000_000, -1.0));
        let all = older.chain([(0, value as f64)]);
        all.map(|(step, value)| named(&device, metric, now - age - step, value)).collect::<Vec<_>>()
    });
    let points: Vec<_> = points.collect();
    let sent = services.send(batch(points)).await.unwrap();
    assert_eq!(sent.accepted_count, 200, "{sent:?}");
    let wanted =
        [(&*device, "c"), (&*device, "a"), (&*device, "d"), (&*device, "b"), (&*device, "c")];
    let answer = latest(&services, &wanted, "").await.unwrap();
    assert_eq!(values(&answer), [2.0, 0.0, 3.0, 1.0, 2.0]);
    let keys: Vec<&str> =
        answer.points.iter().map(|point| &*point.series.as_ref().unwrap().metric_name).collect();
    assert_eq!(keys, ["c", "a", "d", "b", "c"]);
    assert_eq!(answer.points[3].timestamp, at(now - 2 * DAY));
    assert_eq!(
        values(&latest(&services, &[], &device).await.unwrap()),
        [0.0, 1.0, 2.0, 3.0],
        "points should be in order of metric"
    );
}

#[tokio::test]
async fn many_series_have_their_newest_points_however_different_their_ages_are() {
    let services = Services::start().await;
    let device = unique("ages");
    let now = now();
    let ages = [0, 30_000_000, 600_000_000, 7_200_000_000, 2 * DAY, 29 * DAY];
    let metrics: Vec<String> = (0..60).map(|at| format!("m{at:02}")).collect();
    let points = metrics.iter().enumerate().flat_map(|(at, metric)| {
        let newest = now - ages[at % ages.len()];
        [(newest, at as f64), (newest - 1_000_000, -1.0)]
            .map(|(time, value)| named(&device, metric, time, value))
    });
    let sent = services.send(batch(points.collect())).await.unwrap();
    assert_eq!(sent.accepted_count, 120, "{sent:?}");
    let wanted: Vec<(&str, &str)> = metrics.iter().map(|metric| (&*device, &**metric)).collect();
    let answer = latest(&services, &wanted, "").await.unwrap();
    let expected: Vec<f64> = (0..60).map(f64::from).collect();
    assert_eq!(values(&answer), expected);
    let oldest = latest(&services, &wanted[5..6], "").await.unwrap();
    assert_eq!(oldest.points[0].timestamp, at(now - 29 * DAY));
}

#[tokio::test]
async fn what_has_no_newest_point_is_named_or_left_out() {
    let services = Services::start().await;
    let device = unique("pointless");
    services.send(batch(vec![named(&device, "a", now(), 1.0)])).await.unwrap();
    let mut sql = Sql::connect().await;
    let add = "INSERT INTO series (device_id, metric_name) VALUES ($1, 'empty')";
    sqlx::query(add).bind(&device).execute(&mut sql.0).await.unwrap();
    let answer = latest(&services, &[(&device, "empty"), (&device, "a")], "").await.unwrap();
    assert_eq!(values(&answer), [1.0], "a series without points should be left out");

    let unknown = unique("unknown");
    let status = latest(&services, &[(&device, "a"), (&unknown, "a")], "").await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    assert_eq!(status.message(), format!("device {unknown:?} does not exist"));
    let status = latest(&services, &[(&device, "b")], "").await.unwrap_err();
    assert_eq!(status.message(), format!("series {:?} does not exist", format!("{device}/b")));
    let status = latest(&services, &[], &unknown).await.unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (Code::NotFound, &*format!("device {unknown:?} does not exist"))
    );
    let status = latest(&services, &vec![(&*device, "a"); 10_001], "").await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("10000"), "{}", status.message());
}

#[tokio::test]
async fn storage_figures_are_those_of_the_database() {
    let services = Services::start().await;
    let device = unique("stored");
    let mut sql = Sql::connect().await;
    // This day is older than any that other tests write to.
    let day = (now() / DAY - 400) * DAY;
    let statement = "INSERT INTO points SELECT $1 + at * interval '1 s', 1, at \
                     FROM generate_series(0, 9999) at";
    sqlx::query(statement).bind(shared::db::Micros(day)).execute(&mut sql.0).await.unwrap();
    let statement = "SELECT compress_chunk(chunk, true)::text \
                     FROM show_chunks('points', older_than => $1) chunk";
    let chunk: String = sqlx::query_scalar(statement)
        .bind(shared::db::Micros(day + DAY))
        .fetch_one(&mut sql.0)
        .await
        .unwrap();
    services.send(batch(vec![named(&device, "a", now(), 1.0)])).await.unwrap();

    let ask = |include_chunks| {
        let mut query = services.query.clone();
        async move {
            query
                .get_storage_stats(GetStorageStatsRequest { include_chunks })
                .await
                .unwrap()
                .into_inner()
        }
    };
    let stats = ask(true).await;
    assert!(
        stats.chunks.len() == stats.chunk_count as usize && stats.chunk_count >= 2,
        "{stats:?}"
    );
    assert!(
        stats
            .chunks
            .is_sorted_by_key(|chunk| std::cmp::Reverse(chunk.start.map(|start| start.seconds)))
    );
    let compressed = stats.chunks.last().unwrap();
    assert!(
        chunk.ends_with(&compressed.chunk_name),
        "expected {chunk}, found {}",
        compressed.chunk_name
    );
    assert_eq!(
        (compressed.compressed, compressed.start, compressed.end),
        (true, at(day), at(day + DAY))
    );
    let before = compressed.before_compression_bytes;
    let after = compressed.after_compression_bytes;
    assert!(before > after && after > 0 && compressed.total_bytes > 0, "{compressed:?}");
    assert!(stats.compressed_chunk_count >= 1 && stats.total_bytes >= compressed.total_bytes);
    let ratio = stats.before_compression_bytes as f64 / stats.after_compression_bytes as f64;
    assert!((stats.compression_ratio - ratio).abs() < 1e-9, "{stats:?}");
    let newest = stats.chunks.iter().find(|chunk| !chunk.compressed);
    assert!(newest.is_none_or(
        |chunk| chunk.before_compression_bytes == 0 && chunk.after_compression_bytes == 0
    ));
    assert!(ask(false).await.chunks.is_empty());
}
