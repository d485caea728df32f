//! From a checked request to granularity, buckets and covered interval. Pure: knows no SQL and no clock.

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

/// How an interval is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) reason: GranularityReason,
    /// The same for people.
    pub(crate) explanation: String,
    /// Covered interval, in whole buckets: [start, end) in microseconds.
    pub(crate) start: i64,
    pub(crate) end: i64,
    /// Its parts, the earliest first: at least one, without gap or overlap.
    pub(crate) segments: Vec<Segment>,
}

/// A part of an interval that is answered from one relation in buckets of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    /// What is read.
    pub(crate) source: Granularity,
    pub(crate) grid: Grid,
    /// [start, end), on edges of the grid.
    pub(crate) start: i64,
    pub(crate) end: i64,
}

/// From when on each granularity is kept; none where nothing is dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) points: Option<i64>,
    pub(crate) minutes: Option<i64>,
    pub(crate) hours: Option<i64>,
    pub(crate) days: Option<i64>,
}

impl Kept {
    /// First instant of which a granularity is still whole.
    pub(crate) fn from(&self, granularity: Granularity) -> i64 {
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
    let explanation = format!("the request asks for {}", Granularity::Raw.relation());
    Plan { reason: GranularityReason::Requested, explanation, start, end, segments: vec![segment] }
}

impl Plan {
    /// What the newest part is read from: the granularity that the answer is named by.
    pub(crate) fn granularity(&self) -> Granularity {
        self.segments.last().map_or(Granularity::Raw, |segment| segment.source)
    }

    /// Buckets of one series; 0 for points, of which there may be any number.
    pub(crate) fn bucket_count(&self) -> u64 {
        self.segments.iter().map(|segment| segment.grid.count(segment.start, segment.end)).sum()
    }

    /// The first frame of an answer.
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
