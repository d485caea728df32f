//! Raw batch to valid points or rejections. Pure: knows no clock, no database, no stream.

mod ids;
mod producer;
mod rejections;

use std::collections::HashMap;
use std::time::Duration;

use shared::proto::v1::{self, RejectionReason as Reason};
use shared::time;

use crate::config::Limits;
use crate::error::BatchError;

pub(crate) use producer::{Numbering, OWN_PRODUCERS};
pub(crate) use rejections::Rejections;

/// Why a point is refused, for programs and for people.
type Refusal = (Reason, String);

/// Names a series.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct SeriesKey {
    pub(crate) device_id: Box<str>,
    pub(crate) metric_name: Box<str>,
}

/// A valid point whose series is known by name only.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct NamedPoint {
    /// Index into [`ValidBatch::series`].
    pub(crate) series: u32,
    /// Microseconds since the Unix epoch.
    pub(crate) timestamp: i64,
    pub(crate) value: f64,
}

/// What is left of a batch after its invalid points were taken out.
#[derive(Debug)]
pub(crate) struct ValidBatch {
    pub(crate) numbering: Option<Numbering>,
    /// Each series once.
    pub(crate) series: Vec<SeriesKey>,
    pub(crate) points: Vec<NamedPoint>,
    pub(crate) rejections: Rejections,
}

/// Sorts the points of a batch into valid ones and rejections.
///
/// # Errors
/// The batch as a whole can never be stored.
pub(crate) fn validate(batch: &v1::Batch, limits: &Limits, received_at: i64) -> Result<ValidBatch, BatchError> {
    let numbering = Numbering::check(batch)?;
    let columns = batch.series.iter().map(|series| series.timestamps_us.len().max(series.values.len()));
    let found = batch.points.len() + columns.sum::<usize>();
    let limit = limits.batch_max_points.get();
    if found == 0 {
        let sentence = "has no points; a batch needs at least one".to_owned();
        return Err(BatchError::Invalid { field: "batch", sentence });
    }
    if found > limit {
        return Err(BatchError::TooManyPoints { found, limit });
    }
    let mut pass = Pass {
        times: AcceptedTimes::new(limits, received_at),
        received_at: numbering.is_none().then_some(received_at),
        lookup: HashMap::new(),
        series: Vec::new(),
        points: Vec::with_capacity(found),
        rejections: Rejections::default(),
        index: 0,
    };
    batch.points.iter().for_each(|point| pass.row(point));
    batch.series.iter().for_each(|series| pass.columns(series));
    Ok(ValidBatch { numbering, series: pass.series, points: pass.points, rejections: pass.rejections })
}

/// One pass over a batch. Names are checked and copied once per series, not once per point.
struct Pass<'batch> {
    times: AcceptedTimes,
    /// What a point without a timestamp gets; none in a numbered batch.
    received_at: Option<i64>,
    lookup: HashMap<(&'batch str, &'batch str), Result<u32, Refusal>>,
    series: Vec<SeriesKey>,
    points: Vec<NamedPoint>,
    rejections: Rejections,
    /// Of the point that comes next, through the whole batch.
    index: usize,
}

impl<'batch> Pass<'batch> {
    fn row(&mut self, point: &'batch v1::Point) {
        let checked = self.series(&point.device_id, &point.metric_name).and_then(|series| {
            let timestamp = self.timestamp(point.timestamp.as_ref())?;
            self.times.check(timestamp)?;
            check_value(point.value)?;
            Ok(NamedPoint { series, timestamp, value: point.value })
        });
        self.settle(checked);
    }

    fn columns(&mut self, columns: &'batch v1::SeriesPoints) {
        let (times, values) = (&columns.timestamps_us, &columns.values);
        if times.len() != values.len() {
            let sentence = format!("timestamps_us has {} entries and values {}", times.len(), values.len());
            return self.reject(times.len().max(values.len()), Reason::ColumnLengthsDiffer, sentence);
        }
        let series = match self.series(&columns.device_id, &columns.metric_name) {
            Ok(series) => series,
            Err((reason, sentence)) => return self.reject(times.len(), reason, sentence),
        };
        for (&timestamp, &value) in times.iter().zip(values) {
            let checked = self.times.check(timestamp).and_then(|()| check_value(value));
            self.settle(checked.map(|()| NamedPoint { series, timestamp, value }));
        }
    }

    fn series(&mut self, device_id: &'batch str, metric_name: &'batch str) -> Result<u32, Refusal> {
        let series = &mut self.series;
        self.lookup
            .entry((device_id, metric_name))
            .or_insert_with(|| {
                ids::check_device_id(device_id)?;
                ids::check_metric_name(metric_name)?;
                series.push(SeriesKey { device_id: device_id.into(), metric_name: metric_name.into() });
                Ok(u32::try_from(series.len() - 1).unwrap_or(u32::MAX)) // the batch limit is far below
            })
            .clone()
    }

    fn timestamp(&self, timestamp: Option<&prost_types::Timestamp>) -> Result<i64, Refusal> {
        match timestamp {
            Some(timestamp) => time::from_timestamp(timestamp).ok_or_else(|| {
                let (seconds, nanos) = (timestamp.seconds, timestamp.nanos);
                let sentence = format!("timestamp (seconds {seconds}, nanos {nanos}) is not a valid one");
                (Reason::TimestampInvalid, sentence)
            }),
            None => self.received_at.ok_or_else(|| {
                let sentence = "timestamp is missing; a numbered batch must carry its own, so that a resend means the \
                                same data";
                (Reason::TimestampMissing, sentence.to_owned())
            }),
        }
    }

    fn settle(&mut self, checked: Result<NamedPoint, Refusal>) {
        match checked {
            Ok(point) => {
                self.points.push(point);
                self.index += 1;
            }
            Err((reason, sentence)) => self.reject(1, reason, sentence),
        }
    }

    fn reject(&mut self, count: usize, reason: Reason, sentence: String) {
        self.rejections.push(self.index, count, reason, sentence);
        self.index += count;
    }
}

/// Between which times points are accepted.
struct AcceptedTimes {
    oldest: i64,
    latest: i64,
    back: Duration,
    ahead: Duration,
}

impl AcceptedTimes {
    fn new(limits: &Limits, received_at: i64) -> Self {
        let (back, ahead) = (limits.oldest_accepted, limits.latest_accepted);
        Self {
            oldest: received_at.saturating_sub(time::duration_to_micros(back)),
            latest: received_at.saturating_add(time::duration_to_micros(ahead)),
            back,
            ahead,
        }
    }

    fn check(&self, timestamp: i64) -> Result<(), Refusal> {
        if timestamp < self.oldest {
            let (found, back) = (time::display(timestamp), humantime::format_duration(self.back));
            let sentence =
                format!("timestamp {found} is before {}: the limit is {back} back", time::display(self.oldest));
            return Err((Reason::TimestampTooOld, sentence));
        }
        if timestamp > self.latest {
            let (found, ahead) = (time::display(timestamp), humantime::format_duration(self.ahead));
            let sentence =
                format!("timestamp {found} is after {}: the limit is {ahead} ahead", time::display(self.latest));
            return Err((Reason::TimestampTooNew, sentence));
        }
        Ok(())
    }
}

fn check_value(value: f64) -> Result<(), Refusal> {
    if value.is_finite() {
        return Ok(());
    }
    Err((Reason::ValueNotFinite, format!("value is {value}; it must be finite")))
}

#[cfg(test)]
mod tests;
