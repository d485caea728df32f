//! Which way a flush goes into the hypertable: by INSERT or COPY, as rows or compressed at once.

use sqlx::postgres::PgConnection;

use crate::config::DirectCompress;
use crate::flush::SortedRuns;

/// From so many points a series on, compressing at once is the faster way: with one it is much slower than the row store,
/// with a hundred much faster (`cargo xtask bench` prints both), and the two cross between one and five.
const LEAST_ROWS_PER_SERIES: usize = 3;
/// Smaller flushes come under light load, where what counts is how soon they are acknowledged: one statement is one round
/// trip, while the end of a COPY waits up to 40 ms for the server's TCP to confirm its data (sqlx 0.9.0 does not set
/// TCP_NODELAY). Small compressed pieces would also slow reading down.
const LEAST_ROWS_TO_COPY: usize = 10_000;

/// How the points of a flush are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// There are none.
    Nothing,
    /// As rows, by one INSERT.
    Insert,
    /// As rows, by COPY.
    Copy,
    /// Compressed at once, by COPY.
    CopyCompressed,
}

impl Way {
    /// As the metric has it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Insert => "insert",
            Self::Copy => "copy",
            Self::CopyCompressed => "copy_compressed",
        }
    }
}

/// Decides for each flush.
pub(super) struct WritePath {
    wanted: DirectCompress,
    /// Whether the server compresses at once, also under rollups.
    served: bool,
    /// Whether its sort of such rows can be turned off.
    takes_sorted: bool,
}

impl WritePath {
    pub(super) fn new(wanted: DirectCompress) -> Self {
        Self { wanted, served: false, takes_sorted: false }
    }

    /// Finds out what the server can do; to be asked again after each connect, for it may have been upgraded.
    pub(super) async fn look_at(&mut self, connection: &mut PgConnection) -> sqlx::Result<()> {
        (self.served, self.takes_sorted) =
            sqlx::query_as(include_str!("../sql/direct_compress_served.sql"))
                .fetch_one(connection)
                .await?;
        Ok(())
    }

    /// Returns the statements that turn direct compress on for the rest of a transaction. The server's sort goes off, because
    /// rows are sent in the order of the columnstore. `..._client_sorted` stays off: it would promise that flushes do not
    /// overlap in time, and queries would return rows in the wrong order.
    pub(super) fn settings(&self) -> &'static str {
        if self.takes_sorted {
            "SET LOCAL timescaledb.enable_direct_compress_copy = on;
             SET LOCAL timescaledb.enable_direct_compress_copy_sort_batches = off"
        } else {
            "SET LOCAL timescaledb.enable_direct_compress_copy = on"
        }
    }

    pub(super) fn of(&self, points: &SortedRuns<'_>) -> Way {
        let wanted = if self.served { self.wanted } else { DirectCompress::Never };
        choose(wanted, points.rows, points.series)
    }
}

fn choose(wanted: DirectCompress, rows: usize, series: usize) -> Way {
    match wanted {
        _ if rows == 0 => Way::Nothing,
        DirectCompress::Always => Way::CopyCompressed,
        _ if rows < LEAST_ROWS_TO_COPY => Way::Insert,
        DirectCompress::Auto if rows >= LEAST_ROWS_PER_SERIES * series => Way::CopyCompressed,
        DirectCompress::Auto | DirectCompress::Never => Way::Copy,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_flushes_with_several_points_a_series_are_compressed_at_once() {
        let auto = |rows, series| choose(DirectCompress::Auto, rows, series);
        assert_eq!(auto(100_000, 1_000), Way::CopyCompressed);
        assert_eq!(auto(30_000, 10_000), Way::CopyCompressed);
        assert_eq!(auto(29_999, 10_000), Way::Copy);
        assert_eq!(auto(9_999, 1), Way::Insert);
        assert_eq!(auto(0, 0), Way::Nothing);
        assert_eq!(choose(DirectCompress::Never, 100_000, 1), Way::Copy);
        assert_eq!(choose(DirectCompress::Always, 1, 1), Way::CopyCompressed);
    }
}
