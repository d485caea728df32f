//! From a checked request to granularity and covered interval. Pure: knows no SQL and no clock.

use shared::granularity::Granularity;
use shared::proto::v1::{self, GranularityReason};
use shared::time;

/// How an interval is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) granularity: Granularity,
    pub(crate) reason: GranularityReason,
    /// The same for people.
    pub(crate) explanation: String,
    /// Covered interval, in whole buckets: [start, end) in microseconds.
    pub(crate) start: i64,
    pub(crate) end: i64,
}

/// Plans an answer at a granularity that the request names: every bucket that overlaps the interval, whole.
pub(crate) fn at(granularity: Granularity, start: i64, end: i64) -> Plan {
    Plan {
        granularity,
        reason: GranularityReason::Requested,
        explanation: format!("the request asks for {}", granularity.relation()),
        start: granularity.floor(start),
        end: granularity.ceil(end),
    }
}

impl Plan {
    /// The first frame of an answer.
    pub(crate) fn header(&self, watermark: Option<i64>, series_count: usize) -> v1::QueryHeader {
        v1::QueryHeader {
            granularity: v1::Granularity::from(self.granularity) as i32,
            granularity_reason: self.reason as i32,
            granularity_explanation: self.explanation.clone(),
            bucket_width: self.granularity.bucket_micros().map(time::to_duration),
            watermark: watermark.map(time::to_timestamp),
            effective_start: Some(time::to_timestamp(self.start)),
            effective_end: Some(time::to_timestamp(self.end)),
            series_count: u32::try_from(series_count).unwrap_or(u32::MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_that_overlap_the_interval_are_covered_whole() {
        let plan = at(Granularity::Minute, 59_999_999, 60_000_001);
        assert_eq!((plan.start, plan.end), (0, 120_000_000));
        let plan = at(Granularity::Raw, 59_999_999, 60_000_001);
        assert_eq!((plan.start, plan.end), (59_999_999, 60_000_001));
    }
}
