//! The handler of `GetLatest`.

use shared::proto::v1;
use shared::time;

use crate::error::QueryError;
use crate::read_pool::ReadPool;
use crate::series::SeriesFinder;
use crate::store::{self, Point};
use crate::validate::LatestQuery;

/// How far back each attempt searches, in microseconds. An attempt covers the series for which the
/// previous one found no point. It reads one entry for every flush of its series in that time, and
/// opens every chunk: with points every second, that is two entries in two seconds and 21,600 in
/// six hours.
const SEARCH_DEPTHS: [i64; 6] =
    [2 * SECOND, MINUTE, 20 * MINUTE, 6 * HOUR, 30 * 24 * HOUR, i64::MAX];
/// A depth below this is tried on a sample of the series first, and skipped if no series of the
/// sample has a point within it.
const SAMPLED_BELOW: i64 = 6 * HOUR;
const SAMPLE: usize = 8;
const SECOND: i64 = time::MICROS_PER_SECOND;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;

pub(super) async fn handle(
    pool: ReadPool,
    finder: SeriesFinder,
    request: v1::GetLatestRequest,
    now: i64,
) -> Result<v1::GetLatestResponse, QueryError> {
    let (ids, keys) = match LatestQuery::check(request)? {
        LatestQuery::Series(devices, metrics) => {
            let ids = finder.find_named(&devices, &metrics).await?;
            (
                ids,
                devices
                    .into_iter()
                    .zip(metrics)
                    .map(|(device_id, metric_name)| v1::SeriesKey { device_id, metric_name })
                    .collect(),
            )
        }
        LatestQuery::Device(device_id) => of_device(&finder, &device_id).await?,
    };
    let points = newest(&pool, &ids, now).await?;
    let found = keys.into_iter().zip(points).filter_map(|(key, point)| Some((key, point?)));
    let points = found.map(|(key, point): (v1::SeriesKey, Point)| v1::LatestPoint {
        series: Some(key),
        timestamp: Some(time::to_timestamp(point.timestamp)),
        value: point.value,
    });
    Ok(v1::GetLatestResponse { points: points.collect() })
}

async fn of_device(
    finder: &SeriesFinder,
    device_id: &str,
) -> Result<(Vec<i32>, Vec<v1::SeriesKey>), QueryError> {
    let found = finder.find_of_device(device_id).await?;
    let key = |metric_name| v1::SeriesKey { device_id: device_id.to_owned(), metric_name };
    Ok(found.into_iter().map(|(series_id, metric_name)| (series_id, key(metric_name))).unzip())
}

/// Returns the newest point of each series, or `None` if it has no points.
async fn newest(pool: &ReadPool, ids: &[i32], now: i64) -> Result<Vec<Option<Point>>, QueryError> {
    let mut points = vec![None; ids.len()];
    for depth in SEARCH_DEPTHS {
        let missing: Vec<usize> =
            (0..ids.len()).filter(|&position| points[position].is_none()).collect();
        if missing.is_empty() {
            break;
        }
        let since = now.saturating_sub(depth);
        let wanted: Vec<i32> = missing.iter().map(|&position| ids[position]).collect();
        if depth < SAMPLED_BELOW && wanted.len() > SAMPLE {
            let sample: Vec<i32> =
                wanted.iter().copied().step_by(wanted.len() / SAMPLE).take(SAMPLE).collect();
            if store::latest(pool, &sample, since).await?.is_empty() {
                continue;
            }
        }
        for (position, point) in store::latest(pool, &wanted, since).await? {
            if let Some(&position) = missing.get(position) {
                points[position] = Some(point);
            }
        }
    }
    Ok(points)
}
