//! Raw points and the three rollups: their widths, relations and names.

use crate::proto::v1;

/// Granularity of data: raw points or a rollup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Granularity {
    /// Raw points.
    Raw,
    /// Rollup of 1 minute.
    Minute,
    /// Rollup of 1 hour.
    Hour,
    /// Rollup of 1 day, in UTC.
    Day,
}

impl Granularity {
    /// The rollups, each one before the rollup that is built on it.
    pub const ROLLUPS: [Self; 3] = [Self::Minute, Self::Hour, Self::Day];

    /// Returns the width of a bucket in microseconds, or `None` for raw points.
    #[must_use]
    pub fn bucket_micros(self) -> Option<i64> {
        match self {
            Self::Raw => None,
            Self::Minute => Some(60_000_000),
            Self::Hour => Some(3_600_000_000),
            Self::Day => Some(86_400_000_000),
        }
    }

    /// Returns the name used in labels and logs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }

    /// Returns the relation that contains the data, as named in `migrations/`.
    #[must_use]
    pub fn relation(self) -> &'static str {
        match self {
            Self::Raw => "points",
            Self::Minute => "points_1min",
            Self::Hour => "points_1hour",
            Self::Day => "points_1day",
        }
    }

    /// Returns the start of the bucket that contains the time. For raw points, returns the time.
    #[must_use]
    pub fn floor(self, micros: i64) -> i64 {
        self.bucket_micros().map_or(micros, |width| micros - micros.rem_euclid(width))
    }

    /// Rounds the time up to the start of a bucket. For raw points, returns the time.
    #[must_use]
    pub fn ceil(self, micros: i64) -> i64 {
        self.bucket_micros().map_or(micros, |width| micros + (-micros).rem_euclid(width))
    }
}

impl From<Granularity> for v1::Granularity {
    fn from(granularity: Granularity) -> Self {
        match granularity {
            Granularity::Raw => Self::Raw,
            Granularity::Minute => Self::Minute,
            Granularity::Hour => Self::Hour,
            Granularity::Day => Self::Day,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Granularity;

    #[test]
    fn buckets_begin_at_the_epoch_and_reach_into_the_past() {
        assert_eq!(Granularity::Minute.floor(61_000_000), 60_000_000);
        assert_eq!(Granularity::Minute.floor(-1), -60_000_000);
        assert_eq!(Granularity::Minute.ceil(60_000_001), 120_000_000);
        assert_eq!(Granularity::Minute.ceil(60_000_000), 60_000_000);
        assert_eq!(Granularity::Raw.ceil(7), 7);
    }
}
