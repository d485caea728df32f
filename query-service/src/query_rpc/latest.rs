//! The handler of `GetLatest`.

use shared::proto::v1;
use shared::time;

use crate::error::QueryError;
use crate::read_pool::ReadPool;
use crate::series;
use crate::store::{self, Point};
use crate::validate::LatestQuery;

/// How far back each attempt searches, in microseconds. An attempt covers the series for which the
/// previous one found no point. Most series have a recent point, so older chunks are rarely opened.
const SEARCH_DEPTHS: [i64; 3] = [6 * HOUR, 30 * 24 * HOUR, i64::MAX];
const HOUR: i64 = 3_600 * time::MICROS_PER_SECOND;

pub(super) async fn latest(
    pool: ReadPool,
    request: v1::GetLatestRequest,
    now: i64,
) -> Result<v1::GetLatestResponse, QueryError> {
    let (ids, keys) = match LatestQuery::check(request)? {
        LatestQuery::Series(devices, metrics) => {
            let ids = series::find_named(&pool, &devices, &metrics).await?;
            (
                ids,
                devices
                    .into_iter()
                    .zip(metrics)
                    .map(|(device_id, metric_name)| v1::SeriesKey { device_id, metric_name })
                    .collect(),
            )
        }
        LatestQuery::Device(device_id) => of_device(&pool, &device_id).await?,
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
    pool: &ReadPool,
    device_id: &str,
) -> Result<(Vec<i32>, Vec<v1::SeriesKey>), QueryError> {
    let found = series::find_of_device(pool, device_id).await?;
    let key = |metric_name| v1::SeriesKey { device_id: device_id.to_owned(), metric_name };
    Ok(found.into_iter().map(|(series_id, metric_name)| (series_id, key(metric_name))).unzip())
}

/// Returns the newest point of each series, or `None` if it has no points.
async fn newest(pool: &ReadPool, ids: &[i32], now: i64) -> Result<Vec<Option<Point>>, QueryError> {
    let mut points = vec![None; ids.len()];
    for back in SEARCH_DEPTHS {
        let missing: Vec<usize> =
            (0..ids.len()).filter(|&position| points[position].is_none()).collect();
        if missing.is_empty() {
            break;
        }
        let wanted: Vec<i32> = missing.iter().map(|&position| ids[position]).collect();
        for (position, point) in store::latest(pool, &wanted, now.saturating_sub(back)).await? {
            if let Some(&position) = missing.get(position) {
                points[position] = Some(point);
            }
        }
    }
    Ok(points)
}
