//! Random series, random requests, and the accepted fillings of gaps.

use std::collections::BTreeMap;

use rand::RngExt as _;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use shared::proto::v1::series_selector::Device;
use shared::proto::v1::{
    BucketsFrame, Combine, GapFill, Granularity, QueryAggregatedRequest, SeriesKey, SeriesSelector,
    Statistic,
};
use shared::time;

use crate::brute::{DAY, Expected, MINUTE, Points, column};

/// Statistics with a floating-point value: all but the count.
pub(crate) const VALUES: [Statistic; 8] = [
    Statistic::Avg,
    Statistic::Max,
    Statistic::Min,
    Statistic::Sum,
    Statistic::First,
    Statistic::Last,
    Statistic::Stddev,
    Statistic::Rate,
];
const DEVICES: [&str; 5] =
    ["fleet-gaps", "fleet-large", "fleet-short", "other-counter", "other-sparse"];

/// Returns random points in `[begin, end)` by device.
pub(crate) fn series(random: &mut StdRng, begin: i64, end: i64) -> BTreeMap<String, Points> {
    DEVICES
        .into_iter()
        .map(|device| (device.to_owned(), points(random, device, begin, end)))
        .collect()
}

fn points(random: &mut StdRng, device: &str, begin: i64, end: i64) -> Points {
    let mut points = Points::new();
    let mut counter = 0.0;
    let (begin, end, pause) = match device {
        "fleet-short" => (begin + DAY + 100 * MINUTE, begin + 3 * DAY, 3 * MINUTE),
        "other-sparse" => (begin, end, 400 * MINUTE),
        _ => (begin, end, 4 * MINUTE),
    };
    let mut at = begin + random.random_range(0..pause);
    while at < end {
        let value = match device {
            "fleet-large" => 1e9 + random.random_range(-0.1..0.1),
            "other-counter" => {
                counter = if random.random_bool(0.01) {
                    0.0
                } else {
                    counter + random.random_range(0.0..5.0)
                };
                counter
            }
            _ => random.random_range(15.0..25.0),
        };
        points.push((at, value));
        at += match random.random_range(0..100) {
            0..4 => 0, // another point with the same timestamp
            4 => random.random_range(0..300 * MINUTE),
            _ => random.random_range(1..2 * pause),
        };
    }
    points
}

/// Returns a random request that is valid.
pub(crate) fn request(random: &mut StdRng, begin: i64, end: i64) -> QueryAggregatedRequest {
    let start = random.random_range(begin - DAY..end);
    let length = *[90 * MINUTE, DAY, 6 * DAY].choose(random).unwrap();
    let combine = *[Combine::Series, Combine::Devices].choose(random).unwrap();
    let (granularity, width, zone) = buckets(random);
    let points = granularity == Granularity::Raw && width.is_none();
    let statistics = [&VALUES[..], &[Statistic::Count]].concat();
    let all = random.random_bool(0.3);
    let statistics = statistics.into_iter().filter(|&statistic| {
        !all && random.random_bool(0.3) && !(points && statistic == Statistic::Rate)
    });
    QueryAggregatedRequest {
        statistics: statistics.map(|statistic| statistic as i32).collect(),
        selectors: (0..random.random_range(1..3)).map(|_| selector(random)).collect(),
        start: Some(time::to_timestamp(start)),
        end: Some(time::to_timestamp(start + random.random_range(1..length))),
        granularity: granularity as i32,
        max_points: if granularity == Granularity::Auto && width.is_none() {
            *[0, 2, 10, 100, 2_000].choose(random).unwrap()
        } else {
            0
        },
        bucket_width: width.map(time::to_duration),
        time_zone: zone.to_owned(),
        gap_fill: if points { GapFill::None } else { gap_fill(random) } as i32,
        combine: if points { Combine::Series } else { combine } as i32,
    }
}

/// Returns a granularity, width and time zone that are valid together.
fn buckets(random: &mut StdRng) -> (Granularity, Option<i64>, &'static str) {
    let zone =
        *["", "UTC", "Europe/Berlin", "Asia/Kolkata", "America/St_Johns"].choose(random).unwrap();
    let whole_hours = matches!(zone, "" | "UTC" | "Europe/Berlin");
    let minutes = *[5, 7, 90, 360, 1_440, 2 * 1_440, 7 * 1_440].choose(random).unwrap();
    let width = Some(minutes * MINUTE).filter(|_| random.random_bool(0.6));
    let utc = matches!(zone, "" | "UTC");
    let granularity = match width {
        None => *[
            Granularity::Auto,
            Granularity::Raw,
            Granularity::Minute,
            Granularity::Hour,
            Granularity::Day,
        ]
        .choose(random)
        .unwrap(),
        Some(width) => {
            let fits = |granularity: &Granularity| match granularity {
                Granularity::Hour => {
                    width % (60 * MINUTE) == 0 && (whole_hours || width % DAY != 0)
                }
                Granularity::Day => width % DAY == 0,
                _ => true,
            };
            let all = [
                Granularity::Auto,
                Granularity::Raw,
                Granularity::Minute,
                Granularity::Hour,
                Granularity::Day,
            ];
            let fitting: Vec<Granularity> = all.into_iter().filter(fits).collect();
            *fitting.choose(random).unwrap()
        }
    };
    (granularity, width, if utc { "" } else { zone })
}

fn gap_fill(random: &mut StdRng) -> GapFill {
    *[GapFill::None, GapFill::Null, GapFill::Last, GapFill::Linear].choose(random).unwrap()
}

fn selector(random: &mut StdRng) -> SeriesSelector {
    let device = match random.random_range(0..4) {
        0 => Device::DeviceIdPrefix("fleet-".to_owned()),
        1 => Device::DeviceIdPrefix(String::new()),
        _ => Device::DeviceId((*DEVICES.choose(random).unwrap()).to_owned()),
    };
    SeriesSelector { device: Some(device), metric_name: "temperature".to_owned() }
}

/// Returns the statistics that an answer must have.
pub(crate) fn asked(request: &QueryAggregatedRequest) -> Vec<Statistic> {
    if !request.statistics.is_empty() {
        return request.statistics().collect();
    }
    let all = [&VALUES[..], &[Statistic::Count]].concat();
    let alone = [Statistic::First, Statistic::Last];
    let combined = request.combine() == Combine::Devices;
    all.into_iter()
        .filter(|asked| *asked != Statistic::Rate && !(combined && alone.contains(asked)))
        .collect()
}

/// Returns the expected answers in the order of the contract: name, index of the selector, devices.
pub(crate) fn expected_answers<'a>(
    request: &QueryAggregatedRequest,
    devices: impl Iterator<Item = &'a String>,
) -> Vec<(SeriesKey, u32, Vec<String>)> {
    let devices: Vec<&String> = devices.collect();
    let mut answers = Vec::new();
    for (index, selector) in (0..).zip(&request.selectors) {
        let matches = |device: &String| match selector.device.as_ref().unwrap() {
            Device::DeviceId(id) => device == id,
            Device::DeviceIdPrefix(prefix) => device.starts_with(prefix),
        };
        let matching: Vec<String> =
            devices.iter().filter(|device| matches(device)).map(|&device| device.clone()).collect();
        let key =
            |device_id: String| SeriesKey { device_id, metric_name: selector.metric_name.clone() };
        match request.combine() {
            Combine::Devices => answers.push((key(String::new()), index, matching)),
            _ => answers.extend(
                matching.into_iter().map(|device| (key(device.clone()), index, vec![device])),
            ),
        }
    }
    answers
}

/// Returns the accepted values of a bucket without points. `left` and `right` are the nearest
/// buckets with points, as start and value.
pub(crate) fn fillings(
    fill: GapFill,
    statistic: Statistic,
    start: i64,
    left: Option<(i64, f64)>,
    right: Option<(i64, f64)>,
    before: Option<&Expected>,
) -> Vec<f64> {
    match (fill, left, right) {
        (GapFill::Last, Some((_, value)), _) => vec![value],
        (GapFill::Last, None, _) => {
            before.map_or(vec![f64::NAN], |bucket| bucket.values(statistic))
        }
        (GapFill::Linear, Some((left, from)), Some((right, to))) => {
            vec![from + (to - from) * (start - left) as f64 / (right - left) as f64]
        }
        _ => vec![f64::NAN],
    }
}

/// Appends the columns of a later frame.
pub(crate) fn extend(all: &mut BucketsFrame, later: BucketsFrame) {
    assert!(VALUES.iter().all(
        |&statistic| column(all, statistic).is_empty() == column(&later, statistic).is_empty()
    ));
    all.bucket_starts_us.extend(later.bucket_starts_us);
    all.avg.extend(later.avg);
    all.max.extend(later.max);
    all.min.extend(later.min);
    all.sum.extend(later.sum);
    all.count.extend(later.count);
    all.first.extend(later.first);
    all.last.extend(later.last);
    all.stddev.extend(later.stddev);
    all.rate.extend(later.rate);
}
