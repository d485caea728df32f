//! Rejections of single points, as clients see them: missing values, confusable names, times in
//! another unit. Names stored before the rules existed stay readable.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a failing test may panic

use e2e::{Services, Sql, batch, now, point, series, unique};
use prost_types::Timestamp;
use shared::proto::v1::{
    Batch, BatchResult, GetLatestRequest, ListDevicesRequest, Point, RejectionReason as Reason,
    SeriesKey,
};
use shared::time;

/// Returns reasons and messages, in order.
fn told(result: &BatchResult) -> Vec<(Reason, &str)> {
    result
        .rejections
        .iter()
        .map(|rejection| (rejection.reason(), rejection.message.as_str()))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_value_is_rejected_and_zeros_are_stored_in_both_forms() {
    let services = Services::start().await;
    let device = unique("values");
    let began = now() - 1_000_000;
    let missing = Point { value: None, ..point(&device, began, 0.0) };
    let rows = vec![point(&device, began + 1, 0.0), missing, point(&device, began + 2, 7.5)];
    let columns = series(&device, vec![began + 3, began + 4], vec![0.0, -0.0]);
    let result = services.send(Batch { series: vec![columns], ..batch(rows) }).await.unwrap();
    assert_eq!((result.accepted_count, result.rejected_count), (4, 1));
    let (reason, message) = told(&result)[0];
    assert_eq!((reason, result.rejections[0].point_index), (Reason::ValueMissing, 1));
    assert!(
        message.contains("set it even if it is 0") && message.contains("regenerate it"),
        "{message}"
    );
    let stored = services.range(&device, began, began + 10).await.unwrap();
    assert_eq!(stored.timestamps_us, [began + 1, began + 2, began + 3, began + 4]);
    assert_eq!(stored.values, [0.0, 7.5, 0.0, 0.0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_looks_like_another_one_is_refused_with_what_it_has_and_where() {
    let services = Services::start().await;
    let mut sql = Sql::connect().await;
    let device = unique("c07");
    let at = device.len();
    for (name, message) in [
        (
            format!("{device} "),
            format!("device_id ends with the white space U+0020 at byte {at}: remove it"),
        ),
        (
            format!("\u{feff}{device}"),
            "device_id has the invisible character U+FEFF at byte 0: remove it".to_owned(),
        ),
        (
            format!("{device}\u{200b}"),
            format!("device_id has the invisible character U+200B at byte {at}: remove it"),
        ),
        (
            format!("{device}\u{202e}x"),
            format!("device_id has the invisible character U+202E at byte {at}: remove it"),
        ),
        (
            format!("{device}u\u{308}"),
            format!(
                "device_id is not in Unicode normalization form C from U+0075 at byte {at} on: \
                 send it composed (NFC)"
            ),
        ),
    ] {
        let result = services.send(batch(vec![point(&name, now(), 1.0)])).await.unwrap();
        assert_eq!(told(&result), [(Reason::DeviceIdInvalid, &*message)]);
    }
    let composed = format!("{device}\u{fc}");
    let result = services.send(batch(vec![point(&composed, now(), 1.0)])).await.unwrap();
    assert_eq!(result.accepted_count, 1);
    assert_eq!(sql.count(&device).await, 1, "only one of six spellings becomes a device");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_stored_under_such_a_name_stays_readable_by_it() {
    let services = Services::start().await;
    let mut sql = Sql::connect().await;
    let prefix = unique("stored");
    let began = now() - 60_000_000;
    let mut names =
        ["", " ", "\u{200b}", "\u{feff}", "u\u{308}"].map(|end| format!("{prefix}{end}"));
    names.sort();
    for (index, name) in (0..).zip(&names) {
        let create = "INSERT INTO series (device_id, metric_name) VALUES ($1, 'temperature') \
                      RETURNING series_id";
        let id: i32 = sqlx::query_scalar(create).bind(name).fetch_one(&mut sql.0).await.unwrap();
        let insert = "INSERT INTO points (timestamp, series_id, value) \
                      VALUES (to_timestamp($1::float8 / 1e6), $2, $3)";
        let insert = sqlx::query(insert).bind(began as f64).bind(id).bind(f64::from(index));
        insert.execute(&mut sql.0).await.unwrap();
    }
    for (index, name) in (0..).zip(&names) {
        let stored = services.range(name, began - 1_000, began + 1_000).await.unwrap();
        assert_eq!(stored.values, [f64::from(index)], "{name:?}");
    }
    let keys = names
        .iter()
        .map(|name| SeriesKey { device_id: name.clone(), metric_name: "temperature".to_owned() });
    let request = GetLatestRequest { series: keys.collect(), ..Default::default() };
    let latest = services.query.clone().get_latest(request).await.unwrap().into_inner();
    assert_eq!(latest.points.len(), names.len());
    let request = ListDevicesRequest { device_id_prefix: prefix, ..Default::default() };
    let listed = services.query.clone().list_devices(request).await.unwrap().into_inner().devices;
    assert!(listed.iter().map(|device| &device.device_id).eq(&names), "{listed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_in_another_unit_is_told_which_one_it_looks_like() {
    let services = Services::start().await;
    let device = unique("units");
    let seconds = now() / 1_000_000;
    let meant = time::display(seconds * 1_000_000);
    for (factor, unit) in
        [(1_000, "milliseconds"), (1_000_000, "microseconds"), (1_000_000_000, "nanoseconds")]
    {
        let timestamp = Some(Timestamp { seconds: seconds * factor, nanos: 0 });
        let result = services
            .send(batch(vec![Point { timestamp, ..point(&device, 0, 1.0) }]))
            .await
            .unwrap();
        let (reason, message) = told(&result)[0];
        assert_eq!(reason, Reason::TimestampInvalid);
        let limit = format!(
            "timestamp.seconds is {}; -62135596800 to 253402300799 are accepted",
            seconds * factor
        );
        assert!(message.starts_with(&limit), "{message}");
        assert!(
            message.contains(&format!("It looks like {unit} since 1970 ({meant})")),
            "{message}"
        );
    }
    for (factor, unit, expected) in [
        (1, "seconds", Reason::TimestampTooOld),
        (1_000, "milliseconds", Reason::TimestampTooOld),
        (1_000_000_000, "nanoseconds", Reason::TimestampTooNew),
    ] {
        let columns = series(&device, vec![seconds * factor], vec![1.0]);
        let result =
            services.send(Batch { series: vec![columns], ..Default::default() }).await.unwrap();
        let (reason, message) = told(&result)[0];
        assert_eq!(reason, expected);
        assert!(message.contains(&format!("which looks like {unit} ({meant})")), "{message}");
    }
}
