//! Raw points compared with brute force: equal timestamps across pages, several series, thinned or
//! not.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a failing test may panic

use std::collections::BTreeMap;

use e2e::{Services, Sql, at, now, unique};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use shared::db::Micros;
use shared::proto::v1::{QueryRangeRequest, SeriesSelector, query_range_response, series_selector};
use tonic::{Code, Status};

const HOUR: i64 = 3_600_000_000;

/// Points by device. Values are unique within a device.
type Points = BTreeMap<String, Vec<(i64, f64)>>;

/// Generates series of very different lengths. Thousands of points may share a timestamp, more than
/// remain in a page.
fn random_points(random: &mut StdRng, prefix: &str, start: i64) -> Points {
    let lengths = [0, 1, 40, 9_000, 300, 45_000, 7, 0, 20_000];
    let series = |(number, &length): (usize, &usize)| {
        let mut timestamp = start + random.random_range(0..HOUR);
        let mut points = Vec::with_capacity(length);
        while points.len() < length {
            let ties = if random.random_bool(0.05) {
                random.random_range(1..3_000)
            } else {
                random.random_range(1..4)
            };
            for _ in 0..ties.min(length - points.len()) {
                points.push((timestamp, points.len() as f64));
            }
            timestamp +=
                if random.random_bool(0.01) { HOUR } else { random.random_range(1..2_000_000) };
        }
        (format!("{prefix}-{number}"), points)
    };
    lengths.iter().enumerate().map(series).collect()
}

async fn write(points: &Points) {
    let mut sql = Sql::connect().await;
    for (device, points) in points {
        let add = "INSERT INTO series (device_id, metric_name) VALUES ($1, 'temperature') \
                   RETURNING series_id";
        let id: i32 = sqlx::query_scalar(add).bind(device).fetch_one(&mut sql.0).await.unwrap();
        let (timestamps, values): (Vec<Micros>, Vec<f64>) =
            points.iter().map(|&(at, value)| (Micros(at), value)).unzip();
        let insert = "INSERT INTO points SELECT t, $1, v \
                      FROM unnest($2::timestamptz[], $3::float8[]) AS p (t, v)";
        let insert = sqlx::query(insert).bind(id).bind(timestamps).bind(values);
        insert.execute(&mut sql.0).await.unwrap();
    }
}

fn by_prefix(prefix: &str) -> SeriesSelector {
    let device = Some(series_selector::Device::DeviceIdPrefix(prefix.to_owned()));
    SeriesSelector { device, metric_name: "temperature".to_owned() }
}

/// Queries raw points. Returns them by device, in the order of the stream.
async fn ask(
    services: &Services,
    selectors: Vec<SeriesSelector>,
    (start, end): (i64, i64),
    max_points: u32,
) -> Result<Vec<(String, Vec<(i64, f64)>)>, Status> {
    let request = QueryRangeRequest { selectors, start: at(start), end: at(end), max_points };
    let mut frames = services.query.clone().query_range(request).await?.into_inner();
    let mut found: Vec<(String, Vec<_>)> = Vec::new();
    let mut footer = None;
    while let Some(response) = frames.message().await? {
        match response.frame.unwrap() {
            query_range_response::Frame::Header(_) => {}
            query_range_response::Frame::Points(points) => {
                let device = points.series.unwrap().device_id;
                if found.last().is_none_or(|(last, _)| *last != device) {
                    found.push((device, Vec::new()));
                }
                assert!(
                    !points.values.is_empty() && points.values.len() == points.timestamps_us.len()
                );
                found
                    .last_mut()
                    .unwrap()
                    .1
                    .extend(points.timestamps_us.into_iter().zip(points.values));
            }
            query_range_response::Frame::Footer(frame) => footer = Some(frame),
        }
    }
    let sent: usize = found.iter().map(|(_, points)| points.len()).sum();
    assert_eq!(footer.expect("a footer").row_count, sent as u64);
    Ok(found)
}

fn sorted(points: &[(i64, f64)]) -> Vec<(i64, u64)> {
    let mut points: Vec<_> = points.iter().map(|&(at, value)| (at, value.to_bits())).collect();
    points.sort_unstable();
    points
}

#[tokio::test]
async fn every_answer_equals_brute_force() {
    let seed: u64 = rand::random();
    let mut random = StdRng::seed_from_u64(seed);
    let services = Services::start().await;
    let prefix = unique("brute");
    let start = now() - 200 * 24 * HOUR;
    let points = random_points(&mut random, &prefix, start);
    write(&points).await;
    for case in 0..40 {
        let from = start - HOUR + random.random_range(0..400 * HOUR);
        let interval = if case == 0 {
            (start, now())
        } else {
            (from, from + random.random_range(1..400 * HOUR))
        };
        let max_points = if random.random_bool(0.5) { 0 } else { random.random_range(3..2_000) };
        let inside = |(at, _): &&(i64, f64)| (interval.0..interval.1).contains(at);
        let expected = points
            .iter()
            .map(|(device, all)| (device, all.iter().filter(inside).copied().collect()));
        let expected: Vec<(&String, Vec<_>)> =
            expected.filter(|(_, points): &(_, Vec<_>)| !points.is_empty()).collect();
        let found = ask(&services, vec![by_prefix(&prefix)], interval, max_points).await.unwrap();
        let context = format!("seed {seed}, case {case}, {interval:?}, {max_points} points");
        assert_eq!(
            found.iter().map(|(device, _)| device).collect::<Vec<_>>(),
            expected.iter().map(|(device, _)| *device).collect::<Vec<_>>(),
            "{context}"
        );
        for ((device, found), (_, expected)) in found.iter().zip(&expected) {
            assert!(found.is_sorted_by_key(|&(at, _)| at), "{context}: {device}");
            let found = sorted(found);
            let expected = sorted(expected);
            let most = max_points as usize;
            if most == 0 {
                assert!(
                    found == expected,
                    "{context}: {device}: found {}, expected {}",
                    found.len(),
                    expected.len()
                );
                continue;
            }
            assert_eq!(found.len(), expected.len().min(most), "{context}: {device}");
            assert!(
                found.iter().all(|point| expected.binary_search(point).is_ok()),
                "{context}: {device}: a point was never stored"
            );
            assert_eq!(
                (found[0].0, found[found.len() - 1].0),
                (expected[0].0, expected[expected.len() - 1].0),
                "{context}"
            );
        }
    }
}

#[tokio::test]
async fn a_spike_survives_thinning_out_across_pages() {
    let services = Services::start().await;
    let device = unique("spike");
    let start = now() - 210 * 24 * HOUR;
    let value = |at: i64| if at == 61_234 { 900.0 } else { (at as f64 / 5_000.0).sin() };
    let points: Vec<(i64, f64)> =
        (0..100_000).map(|at| (start + at * 1_000_000, value(at))).collect();
    write(&Points::from([(device.clone(), points.clone())])).await;
    let found = ask(&services, vec![e2e::selector(&device)], (start, now()), 200).await.unwrap();
    assert_eq!(found[0].1.len(), 200);
    assert!(found[0].1.contains(&points[61_234]));
    assert_eq!((found[0].1[0], found[0].1[199]), (points[0], points[99_999]));
}

#[tokio::test]
async fn too_many_points_are_refused_with_the_limit() {
    let services = Services::start().await;
    let prefix = unique("many");
    let device = |number: usize| (format!("{prefix}-{number:02}"), vec![(now(), 1.0)]);
    write(&(0..11).map(device).collect()).await;
    for (max_points, limit) in [
        (1, "3 to 1000000"),
        (2, "3 to 1000000"),
        (1_000_001, "3 to 1000000"),
        (1_000_000, "10000000"),
    ] {
        let status =
            ask(&services, vec![by_prefix(&prefix)], (1, 2), max_points).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(
            status.message().starts_with("max_points: ") && status.message().contains(limit),
            "{}",
            status.message()
        );
    }
}
