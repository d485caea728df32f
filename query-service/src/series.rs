//! Finds the series that selectors match.

use std::sync::Arc;

use shared::proto::v1::SeriesKey;
use shared::series_cache::SeriesCache;

use crate::error::QueryError;
use crate::read_pool::ReadPool;
use crate::validate::{DeviceSelector, Selector};

/// The maximum number of series that one request may match.
pub(crate) const MAX_SERIES: usize = 10_000;
/// The capacity of the cache of series ids: about 10 MB.
const CACHED_SERIES: usize = 100_000;

/// A series that a request matched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Series {
    pub(crate) series_id: i32,
    pub(crate) device_id: String,
    pub(crate) metric_name: String,
    /// The index of the selector that matched the series.
    pub(crate) selector_index: usize,
}

/// A result of `QueryAggregated`: one series, or all series of a selector combined.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SeriesAnswer {
    /// The name of the series, without a device id if devices are combined.
    pub(crate) key: SeriesKey,
    pub(crate) selector_index: usize,
    pub(crate) series: Vec<i32>,
}

/// Returns one answer per series.
pub(crate) fn each(series: Vec<Series>) -> Vec<SeriesAnswer> {
    let answer = |series: Series| SeriesAnswer {
        key: SeriesKey { device_id: series.device_id, metric_name: series.metric_name },
        selector_index: series.selector_index,
        series: vec![series.series_id],
    };
    series.into_iter().map(answer).collect()
}

/// Returns one answer per selector, which combines all its devices.
pub(crate) fn together(selectors: &[Selector], series: &[Series]) -> Vec<SeriesAnswer> {
    let of_selector =
        |index: usize| series.iter().filter(move |series| series.selector_index == index);
    let answer = |(selector_index, selector): (usize, &Selector)| SeriesAnswer {
        key: SeriesKey { device_id: String::new(), metric_name: selector.metric_name.clone() },
        selector_index,
        series: of_selector(selector_index).map(|series| series.series_id).collect(),
    };
    selectors.iter().enumerate().map(answer).collect()
}

/// Finds series in the database, and remembers the ids of those found by name. Ids never become
/// stale: a series is never deleted. Cheap to clone.
#[derive(Clone)]
pub(crate) struct SeriesFinder {
    pool: ReadPool,
    ids: Arc<SeriesCache>,
}

impl SeriesFinder {
    pub(crate) fn new(pool: ReadPool) -> Self {
        Self { pool, ids: Arc::new(SeriesCache::new(CACHED_SERIES)) }
    }

    /// Returns the series that the selectors match, in the order of the selectors and then by
    /// device id. A prefix may match nothing.
    ///
    /// # Errors
    /// Returns `NotFound` for an exact id that does not exist, and `Invalid` if the selectors match
    /// more than [`MAX_SERIES`] series.
    pub(crate) async fn find(&self, selectors: &[Selector]) -> Result<Vec<Series>, QueryError> {
        let mut series = Vec::new();
        for (selector_index, selector) in selectors.iter().enumerate() {
            let metric_name = &selector.metric_name;
            match &selector.device {
                DeviceSelector::Id(device_id) => {
                    let series_id = self.find_one(device_id, metric_name).await?;
                    let device_id = device_id.clone();
                    let metric_name = metric_name.clone();
                    series.push(Series { series_id, device_id, metric_name, selector_index });
                }
                DeviceSelector::Prefix(prefix) => {
                    let found = self.find_by_prefix(prefix, metric_name).await?;
                    series.extend(found.into_iter().map(|(series_id, device_id)| Series {
                        series_id,
                        device_id,
                        metric_name: metric_name.clone(),
                        selector_index,
                    }));
                }
            }
            if series.len() > MAX_SERIES {
                let description = format!(
                    "match more than {MAX_SERIES} series; use longer prefixes or several requests"
                );
                return Err(QueryError::invalid("selectors", description));
            }
        }
        Ok(series)
    }

    /// Returns the id of one series.
    ///
    /// # Errors
    /// Returns `NotFound` for the device, or for the series if the device has other metrics.
    pub(crate) async fn find_one(
        &self,
        device_id: &str,
        metric_name: &str,
    ) -> Result<i32, QueryError> {
        if let Some(series_id) = self.ids.get(device_id, metric_name) {
            return Ok(series_id);
        }
        let series_id: Option<i32> = sqlx::query_scalar(include_str!("sql/series_one.sql"))
            .bind(device_id)
            .bind(metric_name)
            .fetch_optional(&self.pool.named("series_one"))
            .await?;
        if let Some(series_id) = series_id {
            self.ids.insert(device_id, metric_name, series_id);
            return Ok(series_id);
        }
        self.check_device(device_id).await?;
        Err(QueryError::NotFound { kind: "series", name: format!("{device_id}/{metric_name}") })
    }

    /// Checks that a device exists, that is, has at least one series.
    pub(crate) async fn check_device(&self, device_id: &str) -> Result<(), QueryError> {
        let exists: bool = sqlx::query_scalar(include_str!("sql/device_exists.sql"))
            .bind(device_id)
            .fetch_one(&self.pool.named("device_exists"))
            .await?;
        if exists {
            Ok(())
        } else {
            Err(QueryError::NotFound { kind: "device", name: device_id.to_owned() })
        }
    }

    /// Returns the ids of series by name, in the order of the names.
    ///
    /// # Errors
    /// Returns `NotFound` for the first device or series that does not exist.
    pub(crate) async fn find_named(
        &self,
        devices: &[String],
        metrics: &[String],
    ) -> Result<Vec<i32>, QueryError> {
        let names = || devices.iter().zip(metrics);
        if let Some(known) = names().map(|(device, metric)| self.ids.get(device, metric)).collect()
        {
            return Ok(known);
        }
        let found: Vec<Option<i32>> = sqlx::query_scalar(include_str!("sql/series_named.sql"))
            .bind(devices)
            .bind(metrics)
            .fetch_all(&self.pool.named("series_named"))
            .await?;
        if let Some(missing) = found.iter().position(Option::is_none) {
            self.check_device(&devices[missing]).await?;
            let name = format!("{}/{}", devices[missing], metrics[missing]);
            return Err(QueryError::NotFound { kind: "series", name });
        }
        let found: Vec<i32> = found.into_iter().flatten().collect();
        names().zip(&found).for_each(|((device, metric), id)| self.ids.insert(device, metric, *id));
        Ok(found)
    }

    /// Returns the id and the metric name of every series of a device, ordered by metric name.
    pub(crate) async fn find_of_device(
        &self,
        device_id: &str,
    ) -> Result<Vec<(i32, String)>, QueryError> {
        let limit = i64::try_from(MAX_SERIES + 1).unwrap_or(i64::MAX);
        let found: Vec<(i32, String)> = sqlx::query_as(include_str!("sql/series_of_device.sql"))
            .bind(device_id)
            .bind(limit)
            .fetch_all(&self.pool.named("series_of_device"))
            .await?;
        if found.is_empty() {
            return Err(QueryError::NotFound { kind: "device", name: device_id.to_owned() });
        }
        if found.len() > MAX_SERIES {
            let description =
                format!("has more than {MAX_SERIES} series; list the series in `series` instead");
            return Err(QueryError::invalid("device_id", description));
        }
        Ok(found)
    }

    async fn find_by_prefix(
        &self,
        prefix: &str,
        metric_name: &str,
    ) -> sqlx::Result<Vec<(i32, String)>> {
        let limit = i64::try_from(MAX_SERIES + 1).unwrap_or(i64::MAX);
        sqlx::query_as(include_str!("sql/series_by_prefix.sql"))
            .bind(metric_name)
            .bind(prefix)
            .bind(prefix_end(prefix))
            .bind(limit)
            .fetch_all(&self.pool.named("series_by_prefix"))
            .await
    }
}

/// Returns the smallest string that sorts, byte by byte, after every string that begins with the
/// prefix. Returns `None` if there is no such string.
pub(crate) fn prefix_end(prefix: &str) -> Option<String> {
    let mut end: Vec<char> = prefix.chars().collect();
    while let Some(last) = end.pop() {
        let next = (u32::from(last) + 1..=u32::from(char::MAX)).find_map(char::from_u32);
        if let Some(next) = next {
            end.push(next);
            return Some(end.into_iter().collect());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::prefix_end;

    #[test]
    fn the_end_of_a_prefix_sorts_after_all_that_begins_with_it() {
        assert_eq!(prefix_end("gate").as_deref(), Some("gatf"));
        assert_eq!(prefix_end("a\u{d7ff}").as_deref(), Some("a\u{e000}"), "surrogates are skipped");
        assert_eq!(prefix_end("a\u{10ffff}").as_deref(), Some("b"));
        assert_eq!(prefix_end("\u{10ffff}"), None);
        assert_eq!(prefix_end(""), None);
    }
}
