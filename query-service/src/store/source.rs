//! What statements over buckets read.

use std::borrow::Cow;
use std::sync::Arc;

use shared::granularity::Granularity;

use super::buckets::minutes_of_points;

/// A relation. All but points have the columns of a rollup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Points,
    /// Minutes, computed from the points in [$2, $3) of the statement that reads them.
    MinutesOfPoints,
    /// The table of a rollup, which holds what is materialised of it. The name is quoted.
    Table {
        rollup: Granularity,
        name: Arc<str>,
    },
}

impl Source {
    /// Returns what one row stands for.
    pub(super) fn rows(&self) -> Granularity {
        match self {
            Self::Points => Granularity::Raw,
            Self::MinutesOfPoints => Granularity::Minute,
            Self::Table { rollup, .. } => *rollup,
        }
    }

    /// Returns its place in a FROM list.
    pub(super) fn relation(&self) -> Cow<'_, str> {
        match self {
            Self::Points => Cow::Borrowed(Granularity::Raw.relation()),
            Self::MinutesOfPoints => Cow::Owned(minutes_of_points()),
            Self::Table { name, .. } => Cow::Borrowed(name),
        }
    }
}
