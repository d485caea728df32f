//! Seed messages for fuzzing, such as clients send.

use prost::Message as _;
use shared::proto::v1;
use shared::time;

use super::{AHEAD, BACK, NOW};

/// Returns request messages in both forms, numbered and unnumbered, with every kind of faulty
/// point.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let producer = Some(v1::Producer { producer_id: "gateway-1".to_owned(), epoch: 2 });
    let another = Some(v1::Producer { producer_id: "another".to_owned(), epoch: 1 });
    let rows = vec![
        point("sensor-1", NOW, 21.5),
        point("sensor-1", NOW - 5, 21.4),
        point("sensor-2", NOW, -3.0),
    ];
    let faulty = vec![
        point("", NOW, 1.0),
        point("sensor-1", NOW - 40 * 86_400_000_000, 1.0),
        point("sensor-1", NOW, f64::NAN),
        point("sensor\u{7}", NOW, 1e101),
        point("another-1", NOW, 1.0),
        v1::Point { timestamp: None, ..point("sensor-1", NOW, 0.0) },
        v1::Point { value: None, ..point("sensor-1", NOW, 0.0) },
        point("sensor-1 ", NOW, 1.0),
        point("sensor-e\u{301}", NOW, 1.0),
        point("sensor-\u{e9}", NOW, 1.0),
    ];
    // Random edits would hardly ever hit these limits to the microsecond.
    let edges = [NOW - BACK - 1, NOW - BACK, NOW + AHEAD, NOW + AHEAD + 1]
        .map(|at| point("sensor-1", at, 1e100));
    let columns = vec![
        series(vec![NOW, NOW + 1, NOW + 2], vec![1.0, 2.0, 3.0]),
        series(vec![NOW, NOW - 1], vec![1.0, f64::INFINITY]),
        series(vec![NOW], vec![]),
    ];
    let batches = [
        v1::Batch::default(),
        v1::Batch { points: rows.clone(), ..Default::default() },
        v1::Batch { points: faulty.clone(), ..Default::default() },
        v1::Batch { series: columns.clone(), ..Default::default() },
        v1::Batch { points: edges.to_vec(), ..Default::default() },
        v1::Batch { producer: producer.clone(), sequence: 7, points: rows, ..Default::default() },
        v1::Batch { producer, sequence: 8, points: faulty.clone(), series: columns },
        v1::Batch { points: faulty[4..5].to_vec(), ..Default::default() },
        v1::Batch { producer: another, sequence: 1, points: faulty, ..Default::default() },
    ];
    batches
        .into_iter()
        .map(|batch| v1::IngestRequest { batch: Some(batch) }.encode_to_vec())
        .collect()
}

fn point(device_id: &str, timestamp: i64, value: f64) -> v1::Point {
    let timestamp = Some(time::to_timestamp(timestamp));
    let metric_name = "temperature".to_owned();
    v1::Point { device_id: device_id.to_owned(), metric_name, value: Some(value), timestamp }
}

fn series(timestamps_us: Vec<i64>, values: Vec<f64>) -> v1::SeriesPoints {
    let device_id = "sensor-3".to_owned();
    let metric_name = "pressure".to_owned();
    v1::SeriesPoints { device_id, metric_name, timestamps_us, values }
}
