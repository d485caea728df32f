//! Chooses how a flush is written to the hypertable: INSERT or COPY, as rows or compressed.

use sqlx::postgres::PgConnection;

use crate::config::DirectCompress;
use crate::flush::SortedRuns;

/// Minimum average number of points per series for direct compress.
///
/// With one point per series, direct compress is much slower than the row store. With a hundred it
/// is much faster. The two break even between one and five (`cargo xtask bench` prints both).
const MIN_ROWS_PER_SERIES: usize = 3;
/// Minimum number of points for COPY. Smaller flushes are written with INSERT.
///
/// Small flushes occur under light load, where latency matters. An INSERT is one round trip. The
/// end of a COPY waits up to 40 ms for the server's TCP acknowledgement, because sqlx 0.9.0 does
/// not set TCP_NODELAY. Small columnstore batches would also slow down reads.
const MIN_ROWS_TO_COPY: usize = 10_000;

/// Statements that turn direct compress on for the rest of a transaction.
///
/// The server's sort is turned off, because rows are sent in the order of the columnstore.
/// `..._client_sorted` stays off: it would promise that flushes do not overlap in time, and queries
/// would return rows in the wrong order.
pub(super) const DIRECT_COMPRESS_SETTINGS: &str =
    "SET LOCAL timescaledb.enable_direct_compress_copy = on;
     SET LOCAL timescaledb.enable_direct_compress_copy_sort_batches = off";

/// Path on which the points of a flush are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WritePath {
    /// The flush has no points.
    Nothing,
    /// One INSERT into the row store.
    Insert,
    /// COPY into the row store.
    Copy,
    /// COPY with direct compress into the columnstore.
    CopyCompressed,
}

impl WritePath {
    /// Returns the label of the metrics.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Insert => "insert",
            Self::Copy => "copy",
            Self::CopyCompressed => "copy_compressed",
        }
    }
}

/// Chooser of the path of each flush.
pub(super) struct WritePathChooser {
    wanted: DirectCompress,
    /// Whether the server supports direct compress on hypertables with rollups.
    supported: bool,
}

impl WritePathChooser {
    pub(super) fn new(wanted: DirectCompress) -> Self {
        Self { wanted, supported: false }
    }

    /// Queries what the server supports. Must be called after each connect, because the server may
    /// have been upgraded.
    pub(super) async fn query_support(
        &mut self,
        connection: &mut PgConnection,
    ) -> sqlx::Result<()> {
        self.supported = sqlx::query_scalar(include_str!("../sql/direct_compress_served.sql"))
            .fetch_one(connection)
            .await?;
        Ok(())
    }

    /// Returns the path of a flush.
    pub(super) fn choose(&self, points: &SortedRuns<'_>) -> WritePath {
        let wanted = if self.supported { self.wanted } else { DirectCompress::Never };
        path_for(wanted, points.rows, points.series)
    }
}

fn path_for(wanted: DirectCompress, rows: usize, series: usize) -> WritePath {
    match wanted {
        _ if rows == 0 => WritePath::Nothing,
        DirectCompress::Always => WritePath::CopyCompressed,
        _ if rows < MIN_ROWS_TO_COPY => WritePath::Insert,
        DirectCompress::Auto if rows >= MIN_ROWS_PER_SERIES * series => WritePath::CopyCompressed,
        DirectCompress::Auto | DirectCompress::Never => WritePath::Copy,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_flushes_with_several_points_a_series_are_written_with_direct_compress() {
        let auto = |rows, series| path_for(DirectCompress::Auto, rows, series);
        assert_eq!(auto(100_000, 1_000), WritePath::CopyCompressed);
        assert_eq!(auto(30_000, 10_000), WritePath::CopyCompressed);
        assert_eq!(auto(29_999, 10_000), WritePath::Copy);
        assert_eq!(auto(9_999, 1), WritePath::Insert);
        assert_eq!(auto(0, 0), WritePath::Nothing);
        assert_eq!(path_for(DirectCompress::Never, 100_000, 1), WritePath::Copy);
        assert_eq!(path_for(DirectCompress::Always, 1, 1), WritePath::CopyCompressed);
    }
}
