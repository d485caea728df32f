//! Which way a flush goes into the hypertable: as rows, or compressed at once.

use sqlx::Transaction;
use sqlx::postgres::{PgConnection, Postgres};

use crate::config::DirectCompress;
use crate::flush::SortedRuns;

/// From so many points a series on, compressing at once is the faster way (see `docs/PERFORMANCE.md`).
const LEAST_ROWS_PER_SERIES: usize = 3;
/// Smaller flushes come under light load, where rows are fast enough and small compressed pieces would only slow reading.
const LEAST_ROWS: usize = 10_000;

/// Decides for each flush.
pub(super) struct WritePath {
    wanted: DirectCompress,
    /// Whether the server compresses at once, also under rollups.
    served: bool,
}

impl WritePath {
    pub(super) fn new(wanted: DirectCompress) -> Self {
        Self { wanted, served: false }
    }

    /// Finds out what the server can do; to be asked again after each connect, for it may have been upgraded.
    pub(super) async fn look_at(&mut self, connection: &mut PgConnection) -> sqlx::Result<()> {
        self.served =
            sqlx::query_scalar(include_str!("../sql/direct_compress_served.sql")).fetch_one(connection).await?;
        Ok(())
    }

    /// Sets the way for the rest of the transaction.
    pub(super) async fn prepare(
        &self,
        transaction: &mut Transaction<'_, Postgres>,
        points: &SortedRuns<'_>,
    ) -> sqlx::Result<()> {
        if self.served && is_worth_it(self.wanted, points.rows, points.series) {
            let statement = "SET LOCAL timescaledb.enable_direct_compress_copy = on";
            sqlx::raw_sql(statement).execute(&mut **transaction).await?;
        }
        Ok(())
    }
}

fn is_worth_it(wanted: DirectCompress, rows: usize, series: usize) -> bool {
    match wanted {
        DirectCompress::Never => false,
        DirectCompress::Always => rows > 0,
        DirectCompress::Auto => rows >= LEAST_ROWS && rows >= LEAST_ROWS_PER_SERIES * series,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_flushes_with_several_points_a_series_are_compressed_at_once() {
        let auto = |rows, series| is_worth_it(DirectCompress::Auto, rows, series);
        assert!(auto(100_000, 1_000) && auto(30_000, 10_000));
        assert!(!auto(100_000, 100_000) && !auto(29_999, 10_000) && !auto(9_999, 1));
        assert!(!is_worth_it(DirectCompress::Never, 100_000, 1) && is_worth_it(DirectCompress::Always, 1, 1));
    }
}
