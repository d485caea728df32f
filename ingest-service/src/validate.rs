//! Validates a raw batch: sorts its points into valid ones and rejections. Depends on no clock, no
//! database and no stream.
//!
//! | part | task |
//! |---|---|
//! | `ids` | rules for device ids, metric names and producer ids |
//! | `times`, `units` | limits on timestamps; the likely unit of an implausible time |
//! | `producer` | producer, epoch and sequence |
//! | `rejections` | collects the rejected points of a batch |

mod ids;
mod producer;
mod rejections;
mod times;
mod units;

use std::collections::HashMap;

use shared::proto::v1::RejectionReason as Reason;

use crate::config::Limits;
use crate::error::BatchError;
use crate::numbering::Numbering;
use crate::permissions::Permissions;
use crate::points::Points;
use crate::wire::{Malformed, WireBatch, WirePoint, WireSeries};

pub(crate) use producer::check_producer_id;
pub(crate) use rejections::{REASONS, Rejections};
use times::AcceptedTimes;

/// Largest accepted absolute value. Sums of its squares over any number of points still fit into a
/// double. A sum that overflowed would make the refresh of its minute fail for every series.
const MAX_VALUE: f64 = 1e100;

/// Reason why a point is rejected: a code for programs and a sentence for people.
type PointRefusal = (Reason, String);

/// Name of a series, borrowed from the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SeriesName<'m> {
    pub(crate) device_id: &'m str,
    pub(crate) metric_name: &'m str,
}

/// A batch without its invalid points.
#[derive(Debug)]
pub(crate) struct ValidBatch<'m> {
    pub(crate) numbering: Option<Numbering>,
    /// Distinct series; the points refer to them by index.
    pub(crate) series: Vec<SeriesName<'m>>,
    pub(crate) points: Points,
    pub(crate) rejections: Rejections,
}

/// Validates the points of a request message. `received_at` is in microseconds since the Unix
/// epoch.
///
/// # Errors
/// Fails if the batch as a whole can never be stored, or this caller may not store it.
pub(crate) fn validate<'m>(
    message: &'m [u8],
    limits: &Limits,
    permissions: Permissions<'_>,
    received_at: i64,
) -> Result<ValidBatch<'m>, BatchError> {
    let batch = WireBatch::parse(message)?;
    let numbering = producer::check_numbering(&batch, permissions)?;
    let found = count(&batch)?;
    let limit = limits.batch_max_points.get();
    if found == 0 {
        let sentence = "has no points; a batch needs at least one".to_owned();
        return Err(BatchError::Invalid { field: "batch", sentence });
    }
    if found > limit {
        return Err(BatchError::TooManyPoints { found, limit, numbering: numbering.map(Box::new) });
    }
    // In row form the number of distinct names is small and not known in advance.
    let named = batch.series().count().min(found);
    let mut pass = ValidationPass {
        permissions,
        times: AcceptedTimes::new(limits, received_at),
        numbered: numbering.is_some(),
        lookup: HashMap::with_capacity_and_hasher(named, foldhash::fast::RandomState::default()),
        series: Vec::with_capacity(named),
        points: Points::with_capacity(found),
        rejections: Rejections::default(),
        forbidden: 0,
        index: 0,
    };
    for point in batch.points() {
        pass.row(&point?);
    }
    for series in batch.series() {
        pass.columns(&series?);
    }
    let ValidationPass { series, points, rejections, forbidden, .. } = pass;
    if forbidden == found {
        return Err(Permissions::nothing_permitted(found));
    }
    Ok(ValidBatch { numbering, series, points, rejections })
}

/// Returns the number of points in a batch.
fn count(batch: &WireBatch<'_>) -> Result<usize, Malformed> {
    batch.series().try_fold(batch.row_count, |count, series| Ok(count + series?.len()))
}

/// Result for each pair (device, metric) of a batch: its index in the list of series, or the reason
/// why its points are rejected.
type Lookup<'m> =
    HashMap<(&'m [u8], &'m [u8]), Result<u32, PointRefusal>, foldhash::fast::RandomState>;

/// State of one pass over a batch. Names are checked once per series, not once per point.
struct ValidationPass<'m, 'p> {
    permissions: Permissions<'p>,
    times: AcceptedTimes,
    /// Whether the batch is numbered: then every point needs a timestamp.
    numbered: bool,
    lookup: Lookup<'m>,
    series: Vec<SeriesName<'m>>,
    points: Points,
    rejections: Rejections,
    /// Number of points of devices that the caller may not write.
    forbidden: usize,
    /// Index of the next point within the whole batch.
    index: usize,
}

impl<'m> ValidationPass<'m, '_> {
    /// Validates a point in row form.
    fn row(&mut self, point: &WirePoint<'m>) {
        let checked = self.series(point.device_id, point.metric_name).and_then(|series| {
            let timestamp = times::of(point.timestamp, self.numbered, &self.times)?;
            self.times.check(timestamp)?;
            let value = point.value.ok_or_else(value_missing)?;
            check_value(value)?;
            Ok((series, timestamp, value))
        });
        match checked {
            Ok((series, timestamp, value)) => {
                self.points.push(series, timestamp, value);
                self.index += 1;
            }
            Err((reason, sentence)) => self.reject(1, reason, sentence),
        }
    }

    /// Validates points in series form: column by column, and point by point only if that fails.
    fn columns(&mut self, columns: &WireSeries<'m>) {
        let times = columns.timestamps.as_chunks::<8>().0;
        let values = columns.values.as_chunks::<8>().0;
        if columns.len() == 0 {
            return; // without points the name does not matter
        }
        if times.len() != values.len() {
            let sentence = format!(
                "timestamps_us has {} entries but values has {}; they must have the same number",
                times.len(),
                values.len()
            );
            return self.reject(columns.len(), Reason::ColumnLengthsDiffer, sentence);
        }
        let series = match self.series(columns.device_id, columns.metric_name) {
            Ok(series) => series,
            Err((reason, sentence)) => return self.reject(times.len(), reason, sentence),
        };
        let all_times = times
            .iter()
            .fold(true, |all, bytes| all & self.times.accept(i64::from_le_bytes(*bytes)));
        let all_values =
            values.iter().fold(true, |all, bytes| all & accepts_value(f64::from_le_bytes(*bytes)));
        if all_times && all_values {
            self.points.extend(series, &columns.timestamps, &columns.values);
            self.index += times.len();
        } else {
            self.columns_point_by_point(series, times, values);
        }
    }

    fn columns_point_by_point(&mut self, series: u32, times: &[[u8; 8]], values: &[[u8; 8]]) {
        for (timestamp, value) in times.iter().zip(values) {
            let timestamp = i64::from_le_bytes(*timestamp);
            let value = f64::from_le_bytes(*value);
            match self.times.check_entry(timestamp).and_then(|()| check_value(value)) {
                Ok(()) => {
                    self.points.push(series, timestamp, value);
                    self.index += 1;
                }
                Err((reason, sentence)) => self.reject(1, reason, sentence),
            }
        }
    }

    /// Returns the index of a series. Checks its name and the caller's permission on first use.
    fn series(&mut self, device_id: &'m [u8], metric_name: &'m [u8]) -> Result<u32, PointRefusal> {
        let series = &mut self.series;
        let permissions = self.permissions;
        let known = self.lookup.entry((device_id, metric_name)).or_insert_with(|| {
            let device_id = ids::check_device_id(device_id)?;
            let metric_name = ids::check_metric_name(metric_name)?;
            permissions
                .check_device(device_id)
                .map_err(|sentence| (Reason::PermissionDenied, sentence))?;
            series.push(SeriesName { device_id, metric_name });
            Ok(u32::try_from(series.len() - 1).unwrap_or(u32::MAX)) // the batch limit is far below
        });
        match known {
            Ok(series) => Ok(*series),
            Err(refusal) => Err(refusal.clone()),
        }
    }

    fn reject(&mut self, count: usize, reason: Reason, sentence: String) {
        self.forbidden += if reason == Reason::PermissionDenied { count } else { 0 };
        self.rejections.push(self.index, count, reason, sentence);
        self.points.skip(count);
        self.index += count;
    }
}

/// Returns whether a value is accepted. Rejects NaN as well.
fn accepts_value(value: f64) -> bool {
    value.abs() <= MAX_VALUE
}

#[cold]
fn value_missing() -> PointRefusal {
    let sentence = "value is missing; set it even if it is 0 (client code generated before value \
                    became optional omits 0: regenerate it, or send series form)";
    (Reason::ValueMissing, sentence.to_owned())
}

fn check_value(value: f64) -> Result<(), PointRefusal> {
    if accepts_value(value) {
        return Ok(());
    }
    if value.is_finite() {
        return Err((
            Reason::ValueTooLarge,
            format!("value is {value:e}; it must be between -{MAX_VALUE:e} and {MAX_VALUE:e}"),
        ));
    }
    Err((Reason::ValueNotFinite, format!("value is {value}; it must be finite")))
}

#[cfg(test)]
mod tests;
