//! Plans a checked request: granularity, buckets and the interval that they cover. Pure: depends on
//! neither SQL nor the clock.

mod choose;
mod cost;
mod grid;
mod stitch;

use shared::granularity::Granularity;
use shared::proto::v1::{self, GranularityReason};
use shared::time;

pub(crate) use choose::choose;
pub(crate) use cost::DayOfPoints;
pub(crate) use grid::{DAY, Grid};

/// A plan of how to answer an interval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) reason: GranularityReason,
    /// The reason in words, for people.
    pub(crate) explanation: String,
    /// The covered interval in whole buckets: [start, end) in microseconds.
    pub(crate) start: i64,
    pub(crate) end: i64,
    /// The parts of the interval, earliest first: at least one, without gaps or overlaps.
    pub(crate) segments: Vec<Segment>,
}

/// A part of an interval that is answered from one relation on one grid of buckets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    /// The granularity that is read.
    pub(crate) source: Granularity,
    pub(crate) grid: Grid,
    /// [start, end) in microseconds, on edges of the grid.
    pub(crate) start: i64,
    pub(crate) end: i64,
}

/// The time from which retention keeps each granularity, in microseconds. `None` if nothing is
/// dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Retention {
    pub(crate) points: Option<i64>,
    pub(crate) minutes: Option<i64>,
    pub(crate) hours: Option<i64>,
    pub(crate) days: Option<i64>,
}

impl Retention {
    /// Returns the first instant from which a granularity is complete.
    pub(crate) fn kept_from(&self, granularity: Granularity) -> i64 {
        let from = match granularity {
            Granularity::Raw => self.points,
            Granularity::Minute => self.minutes,
            Granularity::Hour => self.hours,
            Granularity::Day => self.days,
        };
        from.unwrap_or(i64::MIN)
    }
}

/// Plans an answer of raw points.
pub(crate) fn points(start: i64, end: i64) -> Plan {
    let segment = Segment { source: Granularity::Raw, grid: Grid::Points, start, end };
    let explanation = format!("the request specifies {}", Granularity::Raw.relation());
    Plan { reason: GranularityReason::Requested, explanation, start, end, segments: vec![segment] }
}

impl Plan {
    /// Returns the granularity of the newest part, which the answer reports as its own.
    pub(crate) fn granularity(&self) -> Granularity {
        self.segments.last().map_or(Granularity::Raw, |segment| segment.source)
    }

    /// Returns the number of buckets per series. Returns 0 for raw points, whose number is unknown.
    pub(crate) fn bucket_count(&self) -> u64 {
        self.segments.iter().map(|segment| segment.grid.count(segment.start, segment.end)).sum()
    }

    /// Returns the first frame of an answer.
    pub(crate) fn header(&self, watermark: Option<i64>, series_count: usize) -> v1::QueryHeader {
        let width = self.segments.last().and_then(|segment| segment.grid.width());
        v1::QueryHeader {
            granularity: v1::Granularity::from(self.granularity()) as i32,
            granularity_reason: self.reason as i32,
            granularity_explanation: self.explanation.clone(),
            bucket_width: width.map(time::to_duration),
            watermark: watermark.map(time::to_timestamp),
            effective_start: Some(time::to_timestamp(self.start)),
            effective_end: Some(time::to_timestamp(self.end)),
            series_count: u32::try_from(series_count).unwrap_or(u32::MAX),
            segments: self.segments.iter().map(Segment::to_proto).collect(),
        }
    }
}

impl Segment {
    fn to_proto(&self) -> v1::QuerySegment {
        v1::QuerySegment {
            granularity: v1::Granularity::from(self.source) as i32,
            start: Some(time::to_timestamp(self.start)),
            end: Some(time::to_timestamp(self.end)),
            bucket_width: self.grid.width().map(time::to_duration),
        }
    }
}

#[cfg(test)]
mod tests;
