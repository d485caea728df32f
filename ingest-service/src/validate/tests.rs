use std::time::Duration;

use prost::Message as _;
use shared::auth::{DevicePrefixes, Identity};
use shared::proto::v1;
use shared::time;

use super::rejections::MAX_LISTED;
use super::{Limits, Reason, ValidBatch};
use crate::error::BatchError;
use crate::permissions::Permissions;

const NOW: i64 = 1_795_413_426_000_000;

/// Encodes a batch and validates it.
fn validate(
    batch: &v1::Batch,
    limits: &Limits,
    received_at: i64,
) -> Result<ValidBatch<'static>, BatchError> {
    let message = v1::IngestRequest { batch: Some(batch.clone()) }.encode_to_vec();
    // A test may leak memory.
    super::validate(message.leak(), limits, Permissions::of(&Identity::anyone()), received_at)
}

/// Validates a batch of a caller with these permissions.
fn validate_for(
    batch: &v1::Batch,
    devices: &[&str],
    producer_prefix: Option<&str>,
) -> Result<ValidBatch<'static>, BatchError> {
    let message = v1::IngestRequest { batch: Some(batch.clone()) }.encode_to_vec();
    let devices = DevicePrefixes::new(devices.iter().map(|&prefix| prefix.to_owned()).collect());
    super::validate(
        message.leak(),
        &limits(),
        Permissions { devices: &devices, producer_prefix },
        NOW,
    )
}

/// Returns the device and value of each valid point.
fn stored<'m>(batch: &'m ValidBatch<'_>) -> Vec<(&'m str, f64)> {
    let runs = batch.points.runs();
    runs.flat_map(|(series, _, values)| {
        values.iter().map(move |&value| (batch.series[series as usize].device_id, value))
    })
    .collect()
}

fn limits() -> Limits {
    Limits {
        batch_max_points: 1_000.try_into().unwrap(),
        oldest_accepted: Duration::from_secs(30 * 86_400),
        latest_accepted: Duration::from_secs(600),
    }
}

fn point(device_id: &str, timestamp: i64, value: f64) -> v1::Point {
    v1::Point {
        device_id: device_id.to_owned(),
        metric_name: "temperature".to_owned(),
        value: Some(value),
        timestamp: Some(time::to_timestamp(timestamp)),
    }
}

fn rows(points: Vec<v1::Point>) -> v1::Batch {
    v1::Batch { points, ..Default::default() }
}

fn reasons(batch: &ValidBatch<'_>) -> Vec<(u32, u32, Reason)> {
    let listed = batch.rejections.listed.iter();
    listed.map(|entry| (entry.point_index, entry.point_count, entry.reason())).collect()
}

#[test]
fn one_bad_point_never_costs_a_good_one() {
    let batch = rows(vec![
        point("a", NOW, 1.0),
        point("", NOW, 2.0),
        point(&"x".repeat(257), NOW, 3.0),
        point("a\0b", NOW, 4.0),
        point("a", NOW, f64::NAN),
        point("a", NOW, f64::INFINITY),
        point("a", NOW - 31 * 86_400_000_000, 7.0),
        point("a", NOW + 601_000_000, 8.0),
        v1::Point { metric_name: String::new(), ..point("a", NOW, 9.0) },
        v1::Point {
            timestamp: Some(prost_types::Timestamp { seconds: 0, nanos: -1 }),
            ..point("a", NOW, 10.0)
        },
        point("b", NOW - 30 * 86_400_000_000, 11.0),
        point("a", NOW, 1.1e100),
        point("b", NOW, -1e100),
    ]);
    let valid = validate(&batch, &limits(), NOW).unwrap();
    assert_eq!(stored(&valid), [("a", 1.0), ("b", 11.0), ("b", -1e100)]);
    assert_eq!(
        reasons(&valid),
        [
            (1, 1, Reason::DeviceIdEmpty),
            (2, 1, Reason::DeviceIdTooLong),
            (3, 1, Reason::DeviceIdInvalid),
            (4, 2, Reason::ValueNotFinite),
            (6, 1, Reason::TimestampTooOld),
            (7, 1, Reason::TimestampTooNew),
            (8, 1, Reason::MetricNameEmpty),
            (9, 1, Reason::TimestampInvalid),
            (11, 1, Reason::ValueTooLarge),
        ]
    );
    let messages: Vec<_> =
        valid.rejections.listed.iter().map(|entry| entry.message.as_str()).collect();
    assert_eq!(messages[0], "device_id is empty; it needs 1 to 256 bytes");
    assert_eq!(messages[1], "device_id has 257 bytes; the limit is 256");
    assert_eq!(messages[2], "device_id has the control character U+0000 at byte 1");
    assert_eq!(messages[3], "value is NaN; it must be finite");
    assert!(messages[4].ends_with("(30days ago)"), "{}", messages[4]);
    assert!(messages[5].ends_with("(10m ahead)"), "{}", messages[5]);
    assert_eq!(messages[7], "timestamp.nanos is -1; 0 to 999999999 are accepted");
    assert_eq!(messages[8], "value is 1.1e100; it must be between -1e100 and 1e100");
}

#[test]
fn a_missing_value_is_refused_and_a_zero_that_is_sent_is_stored() {
    let missing = v1::Point { value: None, ..point("a", NOW, 0.0) };
    let batch = rows(vec![point("a", NOW, 0.0), missing, point("a", NOW, -0.0)]);
    let valid = validate(&batch, &limits(), NOW).unwrap();
    assert_eq!(stored(&valid), [("a", 0.0), ("a", -0.0)]);
    assert_eq!(reasons(&valid), [(1, 1, Reason::ValueMissing)]);
    assert!(
        valid.rejections.listed[0].message.starts_with("value is missing; set it even if it is 0")
    );
}

#[test]
fn look_alike_names_are_refused_for_devices_metrics_and_producers() {
    let batch = rows(vec![
        point("c07", NOW, 1.0),
        point("c07 ", NOW, 2.0),
        point("\u{feff}c07", NOW, 3.0),
        v1::Point { metric_name: "temp\u{200b}erature".to_owned(), ..point("c07", NOW, 4.0) },
    ]);
    let valid = validate(&batch, &limits(), NOW).unwrap();
    assert_eq!(stored(&valid), [("c07", 1.0)]);
    assert_eq!(
        reasons(&valid),
        [(1, 2, Reason::DeviceIdInvalid), (3, 1, Reason::MetricNameInvalid)]
    );
    let producer = Some(v1::Producer { producer_id: "gateway\u{202e}".to_owned(), epoch: 1 });
    let numbered = v1::Batch { producer, sequence: 1, ..rows(vec![point("a", NOW, 1.0)]) };
    let refusal = validate(&numbered, &limits(), NOW).unwrap_err().to_string();
    assert!(
        refusal.contains("producer_id has the invisible character U+202E at byte 7"),
        "{refusal}"
    );
}

#[test]
fn a_series_without_points_is_neither_stored_nor_refused_whatever_its_name() {
    let empty = |device_id: &str| v1::SeriesPoints {
        device_id: device_id.to_owned(),
        ..Default::default()
    };
    let series = vec![empty(""), empty("b")];
    let batch = v1::Batch { points: vec![point("a", NOW, 1.0)], series, ..Default::default() };
    let valid = validate(&batch, &limits(), NOW).unwrap();
    assert_eq!((valid.series.len(), stored(&valid)), (1, vec![("a", 1.0)]));
    assert!(valid.rejections.count == 0 && valid.rejections.listed.is_empty());
}

#[test]
fn series_form_is_indexed_after_row_form_and_rejected_as_a_whole_if_its_columns_differ() {
    let columns = |timestamps_us: Vec<i64>, values: Vec<f64>| v1::SeriesPoints {
        device_id: "a".to_owned(),
        metric_name: "temperature".to_owned(),
        timestamps_us,
        values,
    };
    let batch = v1::Batch {
        points: vec![point("a", NOW, 1.0)],
        series: vec![
            columns(vec![NOW, NOW], vec![2.0]),
            columns(vec![NOW, NOW - 1], vec![3.0, f64::NEG_INFINITY]),
            columns(vec![NOW], vec![1e101]),
        ],
        ..Default::default()
    };
    let valid = validate(&batch, &limits(), NOW).unwrap();
    assert_eq!(stored(&valid), [("a", 1.0), ("a", 3.0)]);
    assert_eq!(
        reasons(&valid),
        [
            (1, 2, Reason::ColumnLengthsDiffer),
            (4, 1, Reason::ValueNotFinite),
            (5, 1, Reason::ValueTooLarge)
        ]
    );
    assert_eq!(
        valid.rejections.listed[0].message,
        "timestamps_us has 2 entries but values has 1; they must have the same number"
    );
}

#[test]
fn points_without_a_timestamp_get_the_receive_time_unless_they_are_numbered() {
    let bare = v1::Point { timestamp: None, ..point("a", NOW, 1.0) };
    let mut batch = rows(vec![bare]);
    let valid = validate(&batch, &limits(), NOW).unwrap();
    assert_eq!(valid.points.runs().next().unwrap().1, [NOW]);
    batch.producer = Some(v1::Producer { producer_id: "gateway".to_owned(), epoch: 1 });
    batch.sequence = 1;
    assert_eq!(
        reasons(&validate(&batch, &limits(), NOW).unwrap()),
        [(0, 1, Reason::TimestampMissing)]
    );
}

#[test]
fn a_batch_without_points_or_with_too_many_is_refused_as_a_whole() {
    let error = validate(&v1::Batch::default(), &limits(), NOW).unwrap_err();
    assert_eq!(error.to_string(), "batch: has no points; a batch needs at least one");
    let error = validate(&rows(vec![point("a", NOW, 1.0); 1_001]), &limits(), NOW).unwrap_err();
    assert_eq!(error, BatchError::TooManyPoints { found: 1_001, limit: 1_000, numbering: None });
}

#[test]
fn unusable_producers_are_refused_with_the_field_and_the_limit() {
    let refused = |producer_id: &str, epoch: u64, sequence: u64| {
        let mut batch = rows(vec![point("a", NOW, 1.0)]);
        batch.producer = Some(v1::Producer { producer_id: producer_id.to_owned(), epoch });
        batch.sequence = sequence;
        validate(&batch, &limits(), NOW).unwrap_err().to_string()
    };
    assert_eq!(
        refused("", 1, 1),
        "batch.producer.producer_id: producer_id is empty; it needs 1 to 256 bytes"
    );
    assert!(refused("tidegauge/writer", 1, 1).contains("reserved for the service"));
    assert!(refused("gateway", u64::MAX, 1).contains("the limit is 9223372036854775807"));
    assert!(refused("gateway", 1, 0).contains("numbered from 1"));
    let stray = v1::Batch { sequence: 7, ..rows(vec![point("a", NOW, 1.0)]) };
    assert!(validate(&stray, &limits(), NOW).unwrap_err().to_string().contains("no producer"));
}

#[test]
fn every_refusal_is_counted_but_only_the_first_hundred_are_listed() {
    let points = (0..500)
        .map(|index| if index % 2 == 0 { point("a", NOW, f64::NAN) } else { point("", NOW, 1.0) });
    let valid = validate(&rows(points.collect()), &limits(), NOW).unwrap();
    assert_eq!(valid.rejections.count, 500);
    assert_eq!(valid.rejections.listed.len(), MAX_LISTED);
    assert!(valid.rejections.truncated);
}

#[test]
fn malformed_bytes_are_refused_as_a_whole() {
    let error = super::validate(&[0x0a, 200], &limits(), Permissions::of(&Identity::anyone()), NOW)
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "message: is not a message of the contract: a field extends past the end of its message"
    );
    let mut message =
        v1::IngestRequest { batch: Some(rows(vec![point("aa", NOW, 1.0)])) }.encode_to_vec();
    let at = message.windows(2).position(|bytes| bytes == b"aa").unwrap();
    message[at] = 0xff;
    let valid =
        super::validate(&message, &limits(), Permissions::of(&Identity::anyone()), NOW).unwrap();
    assert_eq!(reasons(&valid), [(0, 1, Reason::DeviceIdInvalid)]);
}

#[test]
fn forbidden_points_are_rejected_one_by_one_and_a_batch_of_nothing_else_as_a_whole() {
    let mixed = rows(vec![
        point("a/1", NOW, 1.0),
        point("b/1", NOW, 2.0),
        point("b/2", NOW, 3.0),
        point("a/2", NOW, 4.0),
    ]);
    let valid = validate_for(&mixed, &["a/"], None).unwrap();
    assert_eq!(stored(&valid), [("a/1", 1.0), ("a/2", 4.0)]);
    assert_eq!(reasons(&valid), [(1, 2, Reason::PermissionDenied)]);
    assert!(valid.rejections.listed[0].message.contains("\"b/1\" has none of the prefixes"));
    let error = validate_for(&mixed, &["c/"], None).unwrap_err();
    assert!(
        matches!(error, BatchError::Forbidden { reason: "DEVICE_NOT_PERMITTED", .. }),
        "{error}"
    );
    let partly_invalid = rows(vec![point("b/1", NOW, 1.0), point("", NOW, 2.0)]);
    let valid = validate_for(&partly_invalid, &["a/"], None).unwrap();
    assert_eq!(reasons(&valid), [(0, 1, Reason::PermissionDenied), (1, 1, Reason::DeviceIdEmpty)]);
}

#[test]
fn a_producer_that_is_not_permitted_is_refused_before_its_points_are_checked() {
    let mut batch = rows(vec![point("a", NOW, f64::NAN)]);
    batch.producer = Some(v1::Producer { producer_id: "gateway-7".to_owned(), epoch: 1 });
    batch.sequence = 1;
    assert!(validate_for(&batch, &[""], Some("gateway-")).is_ok());
    for prefix in [Some("other-"), None] {
        let error = validate_for(&batch, &[""], prefix).unwrap_err();
        assert!(
            matches!(error, BatchError::Forbidden { reason: "PRODUCER_NOT_PERMITTED", .. }),
            "{error}"
        );
    }
}
