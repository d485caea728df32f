//! Properties that must hold for any bytes sent as a message, from decoding to encoding. Used by
//! `cargo xtask fuzz` and tests; not part of the service.

mod seeds;

use prost::Message as _;
use shared::auth::DevicePrefixes;
use shared::db::POSTGRES_EPOCH;
use shared::proto::v1;
use shared::time;

use crate::config::Limits;
use crate::copy_encoder::{self, ROW_BYTES};
use crate::flush::SortedRuns;
use crate::permissions::Permissions;
use crate::points::Points;
use crate::validate::{self, ValidBatch};
use crate::wire::WireBatch;

pub use seeds::seeds;

/// Time of receipt of all messages here: 2026-11-23.
const NOW: i64 = 1_795_413_426_000_000;
const BACK: i64 = 30 * 86_400 * time::MICROS_PER_SECOND;
const AHEAD: i64 = 600 * time::MICROS_PER_SECOND;
const MAX_POINTS: usize = 1_000;
/// Prefix of the device ids that the caller may write.
const DEVICES: &str = "sensor";
/// Prefix of the producer ids that the caller may use.
const PRODUCERS: &str = "gateway";
/// Maximum size of a status. It travels in trailers, which are limited to about 8 KiB, and base64
/// enlarges its details by a third.
const MAX_STATUS_BYTES: usize = 4_096;

/// A point as sent: device, metric, microseconds since the Unix epoch, bits of the value. An
/// invalid time is `None`. A missing value is NaN, which is never accepted.
type Sent = (String, String, Option<i64>, u64);

/// Processes the bytes like a message, from the wire to the bytes of COPY, and decodes the result.
///
/// # Panics
/// Panics if one of the properties does not hold.
pub fn check(message: &[u8]) {
    let limits = Limits {
        batch_max_points: MAX_POINTS.try_into().unwrap_or(std::num::NonZeroUsize::MIN),
        oldest_accepted: std::time::Duration::from_micros(BACK.unsigned_abs()),
        latest_accepted: std::time::Duration::from_micros(AHEAD.unsigned_abs()),
    };
    let devices = DevicePrefixes::new(vec![DEVICES.to_owned()]);
    let permissions = Permissions { devices: &devices, producer_prefix: Some(PRODUCERS) };
    match validate::validate(message, &limits, permissions, NOW) {
        Ok(batch) => {
            check_counts(message, &batch);
            check_accepted(&batch);
            check_against_prost(message, &batch);
            check_encoded(&batch.points, batch.series.len());
        }
        Err(error) => {
            let status = error.into_status("");
            assert!(!status.message().is_empty(), "a refusal has a message");
            assert!(
                status.message().len() + status.details().len() <= MAX_STATUS_BYTES,
                "{status:?} is too long"
            );
        }
    }
}

fn check_counts(message: &[u8], batch: &ValidBatch<'_>) {
    let Ok(wire) = WireBatch::parse(message) else { panic!("a valid batch can be parsed again") };
    let in_columns: usize = wire.series().flatten().map(|series| series.len()).sum();
    let sent = wire.row_count + in_columns;
    let refused = usize::try_from(batch.rejections.count).unwrap_or(usize::MAX);
    assert_eq!(batch.points.len() + refused, sent, "every sent point is accepted or rejected");
    assert!((1..=MAX_POINTS).contains(&sent));
    let listed: u64 =
        batch.rejections.listed.iter().map(|entry| u64::from(entry.point_count)).sum();
    assert_eq!(batch.rejections.truncated, listed < batch.rejections.count);
    let mut next = 0; // entries are in order and overlap neither each other nor accepted points
    for entry in &batch.rejections.listed {
        assert!(entry.point_index >= next && entry.point_count > 0 && !entry.message.is_empty());
        next = entry.point_index + entry.point_count;
    }
    let refused_at = |index: usize| {
        let index = u32::try_from(index).unwrap_or(u32::MAX);
        let mut listed = batch.rejections.listed.iter();
        listed.any(|entry| {
            (entry.point_index..entry.point_index + entry.point_count).contains(&index)
        })
    };
    for at in 0..batch.points.len() {
        assert!(!refused_at(batch.points.sent_index(at)), "point {at} is accepted and rejected");
    }
}

fn check_accepted(batch: &ValidBatch<'_>) {
    let producer = batch.numbering.as_ref().map_or(PRODUCERS, |numbering| &numbering.producer_id);
    assert!(producer.starts_with(PRODUCERS), "{producer:?} is not permitted");
    for (index, series) in batch.series.iter().enumerate() {
        assert!(series.device_id.starts_with(DEVICES), "{:?} is not permitted", series.device_id);
        for id in [series.device_id, series.metric_name] {
            assert!(
                (1..=256).contains(&id.len()) && !id.chars().any(char::is_control),
                "{id:?} is not a valid id"
            );
            assert!(
                id.trim() == id && !id.contains(['\u{feff}', '\u{200b}', '\u{202e}']),
                "{id:?} looks like another id"
            );
        }
        assert!(!batch.series[..index].contains(series), "each series is listed once");
    }
    for (series, timestamps, values) in batch.points.runs() {
        assert!(
            (series as usize) < batch.series.len()
                && !timestamps.is_empty()
                && timestamps.is_sorted()
        );
        assert_eq!(timestamps.len(), values.len());
        assert!(timestamps.iter().all(|timestamp| (NOW - BACK..=NOW + AHEAD).contains(timestamp)));
        assert!(values.iter().all(|value| value.abs() <= 1e100), "NaN is rejected");
    }
}

/// Compares each accepted point with the one that prost decodes at the same index. Skips messages
/// that prost cannot decode, such as those with invalid UTF-8.
fn check_against_prost(message: &[u8], batch: &ValidBatch<'_>) {
    let Ok(v1::IngestRequest { batch: Some(expected) }) = v1::IngestRequest::decode(message) else {
        return;
    };
    let numbered = expected.producer.is_some();
    assert_eq!(batch.numbering.is_some(), numbered);
    let sequence =
        batch.numbering.as_ref().map_or(0, |numbering| numbering.sequence.unsigned_abs());
    assert_eq!(sequence, expected.sequence);
    let sent = as_sent(&expected);
    assert_eq!(sent.len() as u64, batch.points.len() as u64 + batch.rejections.count);
    let runs = batch.points.runs().flat_map(|(series, timestamps, values)| {
        let name = batch.series[series as usize];
        timestamps
            .iter()
            .zip(values)
            .map(move |(timestamp, value)| (name, *timestamp, value.to_bits()))
    });
    for (at, (name, timestamp, value)) in runs.enumerate() {
        let index = batch.points.sent_index(at);
        let (device_id, metric_name, sent_timestamp, sent_value) = &sent[index];
        assert_eq!(
            (name.device_id, name.metric_name),
            (&**device_id, &**metric_name),
            "point {index}"
        );
        assert_eq!((Some(timestamp), value), (*sent_timestamp, *sent_value), "point {index}");
    }
}

/// Returns the points in the order of their indices. Entries missing from the shorter column become
/// values that are never accepted.
fn as_sent(batch: &v1::Batch) -> Vec<Sent> {
    let rows = batch.points.iter().map(|point| {
        let timestamp = point.timestamp.as_ref().map_or(Some(NOW), time::from_timestamp);
        (
            point.device_id.clone(),
            point.metric_name.clone(),
            timestamp,
            point.value.unwrap_or(f64::NAN).to_bits(),
        )
    });
    let columns = batch.series.iter().flat_map(|series| {
        (0..series.timestamps_us.len().max(series.values.len())).map(|at| {
            let value = series.values.get(at).copied().unwrap_or(f64::NAN);
            let timestamp = series.timestamps_us.get(at).copied();
            (series.device_id.clone(), series.metric_name.clone(), timestamp, value.to_bits())
        })
    });
    rows.chain(columns).collect()
}

fn check_encoded(points: &Points, series: usize) {
    let series_ids: Vec<i32> = (0..).take(series).map(|index: i32| 1_000_000 - index).collect();
    let sorted = SortedRuns::of(std::iter::once((points, &*series_ids)));
    assert_eq!(sorted.rows, points.len(), "a flush has all points of its batch");
    assert!(sorted.series <= series);
    let mut encoded = Vec::new();
    for run in sorted.runs.iter().rev() {
        copy_encoder::encode_reversed(run.series_id, &run.timestamps, &run.values, &mut encoded);
    }
    assert_eq!(encoded.len(), points.len() * ROW_BYTES);
    let mut decoded: Vec<_> = encoded.as_chunks::<ROW_BYTES>().0.iter().map(decode).collect();
    let ordered =
        decoded.is_sorted_by_key(|&(id, timestamp, _)| std::cmp::Reverse((id, timestamp)));
    assert!(ordered, "rows are ordered by series and time");
    let mut expected: Vec<_> = points
        .runs()
        .flat_map(|(series, timestamps, values)| {
            let id = series_ids[series as usize];
            timestamps
                .iter()
                .zip(values)
                .map(move |(timestamp, value)| (id, *timestamp, value.to_bits()))
        })
        .collect();
    decoded.sort_unstable();
    expected.sort_unstable();
    assert_eq!(decoded, expected, "the written points are the accepted ones");
}

/// Decodes a row of three fields, independently of the encoder, as PostgreSQL's manual describes it
/// under "COPY", "Binary Format".
fn decode(row: &[u8; ROW_BYTES]) -> (i32, i64, u64) {
    let (count, mut rest) = row.split_at(2);
    assert_eq!(count, [0, 3]);
    let mut fields = Vec::new();
    while let Some((length, behind)) = rest.split_first_chunk() {
        let length = usize::try_from(i32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        let Some((field, behind)) = behind.split_at_checked(length) else {
            panic!("a field ends within its row")
        };
        fields.push(field.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte)));
        assert_eq!(length, if fields.len() == 2 { 4 } else { 8 });
        rest = behind;
    }
    let [timestamp, series_id, value] = *fields else { panic!("a row has three fields") };
    let series_id = i32::try_from(series_id).unwrap_or(-1);
    (series_id, timestamp.cast_signed() + POSTGRES_EPOCH, value)
}

#[cfg(test)]
mod tests;
