//! The two statements that write points within a transaction: INSERT and COPY.

use shared::db::Micros;
use sqlx::Transaction;
use sqlx::postgres::Postgres;

use crate::copy_encoder::{self, ROW_BYTES};
use crate::flush::SortedRuns;

/// Number of rows sent at a time, about 256 KiB: large enough to be cheap, small enough to overlap
/// with the server's work.
const PIECE_ROWS: usize = 256 * 1024 / ROW_BYTES;

/// Points as arrays with one entry per point.
pub(super) struct PointColumns {
    pub(super) timestamps: Vec<Micros>,
    pub(super) series_ids: Vec<i32>,
    pub(super) values: Vec<f64>,
}

impl PointColumns {
    pub(super) fn of(points: &SortedRuns<'_>) -> Self {
        let runs = || points.runs.iter();
        Self {
            timestamps: runs()
                .flat_map(|run| &*run.timestamps)
                .map(|&micros| Micros(micros))
                .collect(),
            series_ids: runs()
                .flat_map(|run| run.timestamps.iter().map(|_| run.series_id))
                .collect(),
            values: runs().flat_map(|run| &*run.values).copied().collect(),
        }
    }
}

/// Writes the points with one INSERT, passing them as arrays.
pub(super) async fn insert(
    transaction: &mut Transaction<'_, Postgres>,
    points: &SortedRuns<'_>,
) -> sqlx::Result<()> {
    let columns = PointColumns::of(points);
    let written = sqlx::query(include_str!("../sql/points_insert.sql"))
        .bind(columns.timestamps)
        .bind(columns.series_ids)
        .bind(columns.values)
        .execute(&mut **transaction)
        .await?
        .rows_affected();
    check_written(written, points)
}

/// Writes the points with COPY, encoding them into the buffer piece by piece.
///
/// Rows are ordered by series, newest first. The columnstore relies on that order if the server's
/// own sort is off.
pub(super) async fn copy(
    transaction: &mut Transaction<'_, Postgres>,
    points: &SortedRuns<'_>,
    buffer: &mut Vec<u8>,
) -> sqlx::Result<()> {
    let mut copy = transaction.copy_in_raw(copy_encoder::STATEMENT).await?;
    buffer.clear();
    buffer.extend_from_slice(copy_encoder::HEADER);
    let series = points.runs.chunk_by(|one, other| one.series_id == other.series_id);
    for run in series.flat_map(|runs| runs.iter().rev()) {
        for (timestamps, values) in
            run.timestamps.rchunks(PIECE_ROWS).zip(run.values.rchunks(PIECE_ROWS))
        {
            copy_encoder::encode_reversed(run.series_id, timestamps, values, buffer);
            if buffer.len() >= PIECE_ROWS * ROW_BYTES {
                copy.send(buffer.as_slice()).await?;
                buffer.clear();
            }
        }
    }
    buffer.extend_from_slice(&copy_encoder::TRAILER);
    copy.send(buffer.as_slice()).await?;
    check_written(copy.finish().await?, points)
}

/// Fails unless the database reports as many rows as were sent.
pub(super) fn check_written(written: u64, points: &SortedRuns<'_>) -> sqlx::Result<()> {
    if written == points.rows as u64 {
        return Ok(());
    }
    Err(sqlx::Error::Protocol(format!("the database wrote {written} of {} rows", points.rows)))
}
