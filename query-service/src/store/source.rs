//! The source that a statement over buckets reads.

use std::borrow::Cow;
use std::sync::Arc;

use shared::granularity::Granularity;

use super::buckets::minutes_of_points;

/// A relation to read. All except `Points` have the columns of a rollup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Points,
    /// Minutes that are computed from the points in [$2, $3) of the statement that reads them.
    MinutesOfPoints,
    /// The table that stores the materialised rows of a rollup. The name is quoted.
    Table {
        rollup: Granularity,
        name: Arc<str>,
    },
}

/// A part of an interval and the source that it is read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SourceInterval {
    pub(crate) source: Source,
    /// [start, end) in microseconds, on edges of the source's buckets.
    pub(crate) start: i64,
    pub(crate) end: i64,
}

impl Source {
    /// Returns the granularity of the rows.
    pub(super) fn rows(&self) -> Granularity {
        match self {
            Self::Points => Granularity::Raw,
            Self::MinutesOfPoints => Granularity::Minute,
            Self::Table { rollup, .. } => *rollup,
        }
    }

    /// Returns the text for a FROM clause.
    pub(super) fn relation(&self) -> Cow<'_, str> {
        match self {
            Self::Points => Cow::Borrowed(Granularity::Raw.relation()),
            Self::MinutesOfPoints => Cow::Owned(minutes_of_points()),
            Self::Table { name, .. } => Cow::Borrowed(name),
        }
    }
}
