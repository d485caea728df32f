//! Raw batch to valid points or rejections. Pure: knows no clock, no database, no stream.

mod ids;
mod permissions;
mod producer;
mod rejections;
mod times;
mod units;

use std::collections::HashMap;

use shared::proto::v1::RejectionReason as Reason;

use crate::config::Limits;
use crate::error::BatchError;
use crate::points::Points;
use crate::wire::{Malformed, WireBatch, WirePoint, WireSeries};

pub(crate) use permissions::Permissions;
pub(crate) use producer::{Numbering, OWN_PRODUCERS, check_producer_id};
pub(crate) use rejections::{REASONS, Rejections};
use times::AcceptedTimes;

/// Largest value to either side of 0. Squares of it, and sums of squares over any number of points, still fit into a double:
/// one that did not would make the rollups of its minute fail, for every series.
const MAX_VALUE: f64 = 1e100;

/// Why a point is refused, for programs and for people.
type Refusal = (Reason, String);

/// Names a series, in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SeriesName<'m> {
    pub(crate) device_id: &'m str,
    pub(crate) metric_name: &'m str,
}

/// What is left of a batch after its invalid points were taken out.
#[derive(Debug)]
pub(crate) struct ValidBatch<'m> {
    pub(crate) numbering: Option<Numbering>,
    /// Each series once; the points refer to them by index.
    pub(crate) series: Vec<SeriesName<'m>>,
    pub(crate) points: Points,
    pub(crate) rejections: Rejections,
}

/// Sorts the points of a request message into valid ones and rejections.
///
/// # Errors
/// The batch as a whole can never be stored, or may not be by this sender.
pub(crate) fn validate<'m>(
    message: &'m [u8],
    limits: &Limits,
    permissions: Permissions<'_>,
    received_at: i64,
) -> Result<ValidBatch<'m>, BatchError> {
    let batch = WireBatch::parse(message)?;
    let numbering = Numbering::check(&batch, permissions)?;
    let found = count(&batch)?;
    let limit = limits.batch_max_points.get();
    if found == 0 {
        let sentence = "has no points; a batch needs at least one".to_owned();
        return Err(BatchError::Invalid { field: "batch", sentence });
    }
    if found > limit {
        return Err(BatchError::TooManyPoints { found, limit, numbering: numbering.map(Box::new) });
    }
    let named = batch.series().count().min(found); // in row form, names are few and not known before
    let mut pass = Pass {
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
    let Pass { series, points, rejections, forbidden, .. } = pass;
    if forbidden == found {
        return Err(Permissions::nothing_permitted(found));
    }
    Ok(ValidBatch { numbering, series, points, rejections })
}

fn count(batch: &WireBatch<'_>) -> Result<usize, Malformed> {
    batch.series().try_fold(batch.row_count, |count, series| Ok(count + series?.len()))
}

/// What is known of each name pair (device, metric) of a batch: its index in the list of series, or why it is refused.
type Lookup<'m> = HashMap<(&'m [u8], &'m [u8]), Result<u32, Refusal>, foldhash::fast::RandomState>;

/// One pass over a batch. Names are checked once per series, not once per point.
struct Pass<'m, 'p> {
    permissions: Permissions<'p>,
    times: AcceptedTimes,
    /// In a numbered batch every point needs a timestamp of its own.
    numbered: bool,
    lookup: Lookup<'m>,
    series: Vec<SeriesName<'m>>,
    points: Points,
    rejections: Rejections,
    /// Points of devices that the sender may not write.
    forbidden: usize,
    /// Of the point that comes next, through the whole batch.
    index: usize,
}

impl<'m> Pass<'m, '_> {
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

    fn columns(&mut self, columns: &WireSeries<'m>) {
        let (times, values) =
            (columns.timestamps.as_chunks::<8>().0, columns.values.as_chunks::<8>().0);
        if columns.len() == 0 {
            return; // there is nothing to store or to refuse, whatever its name
        }
        if times.len() != values.len() {
            let sentence =
                format!("timestamps_us has {} entries and values {}", times.len(), values.len());
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
            let (timestamp, value) = (i64::from_le_bytes(*timestamp), f64::from_le_bytes(*value));
            match self.times.check_entry(timestamp).and_then(|()| check_value(value)) {
                Ok(()) => {
                    self.points.push(series, timestamp, value);
                    self.index += 1;
                }
                Err((reason, sentence)) => self.reject(1, reason, sentence),
            }
        }
    }

    fn series(&mut self, device_id: &'m [u8], metric_name: &'m [u8]) -> Result<u32, Refusal> {
        let (series, permissions) = (&mut self.series, self.permissions);
        let known = self.lookup.entry((device_id, metric_name)).or_insert_with(|| {
            let device_id = ids::check_device_id(device_id)?;
            let metric_name = ids::check_metric_name(metric_name)?;
            permissions.check_device(device_id)?;
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

/// NaN is not accepted either.
fn accepts_value(value: f64) -> bool {
    value.abs() <= MAX_VALUE
}

#[cold]
fn value_missing() -> Refusal {
    let sentence = "value is missing; set it, also where it is 0 (a client generated before value was optional leaves 0 out: \
                    generate it again, or send series form)";
    (Reason::ValueMissing, sentence.to_owned())
}

fn check_value(value: f64) -> Result<(), Refusal> {
    if accepts_value(value) {
        return Ok(());
    }
    if value.is_finite() {
        return Err((
            Reason::ValueTooLarge,
            format!("value is {value:e}; the limit is {MAX_VALUE:e} to either side of 0"),
        ));
    }
    Err((Reason::ValueNotFinite, format!("value is {value}; it must be finite")))
}

#[cfg(test)]
mod tests;
