//! The database's own limit: COPY of the same rows, encoded beforehand, without a service.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::ensure;
use prost::bytes::Bytes;
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;
use tokio::task::JoinSet;

use super::render;
use super::shape::{FLUSH_POINTS, Shape};
use crate::bench::copy_rows;
use crate::own_database::OwnDatabase;

/// Bytes of one COPY message, the same as in the service's writer.
const PIECE_BYTES: usize = 256 * 1024;

/// Storage format of the copied rows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Storage {
    RowStore,
    /// Compressed on arrival. The server sorts the rows.
    DirectCompress,
    /// Compressed on arrival, with the server's sort off. The rows are in the order of the
    /// columnstore.
    Presorted,
}

impl Storage {
    /// Returns the settings of the transaction that stores rows in this format.
    fn settings(self) -> Option<&'static str> {
        match self {
            Self::RowStore => None,
            Self::DirectCompress => Some("SET LOCAL timescaledb.enable_direct_compress_copy = on"),
            Self::Presorted => Some(
                "SET LOCAL timescaledb.enable_direct_compress_copy = on;
                 SET LOCAL timescaledb.enable_direct_compress_copy_sort_batches = off",
            ),
        }
    }
}

/// Writes all points of a shape over several connections, one transaction per flush. Returns the
/// time until the last COMMIT returned.
pub(super) async fn write(
    database: &OwnDatabase,
    shape: &Shape,
    series_ids: &[i32],
    storage: Storage,
    connections: usize,
) -> anyhow::Result<Duration> {
    let flushes: Vec<_> = shape
        .split(FLUSH_POINTS)
        .map(|range| {
            let newest_first = storage == Storage::Presorted;
            (shape.points_of(&range), render::copy_binary(shape, &range, series_ids, newest_first))
        })
        .collect();
    let next = Arc::new(AtomicUsize::new(0));
    let flushes = Arc::new(flushes);
    let mut open = Vec::with_capacity(connections);
    for _ in 0..connections {
        open.push(database.connect().await?);
    }
    let mut writers = JoinSet::new();
    let began = Instant::now();
    for mut connection in open {
        let next = Arc::clone(&next);
        let flushes = Arc::clone(&flushes);
        writers.spawn(async move {
            while let Some((rows, bytes)) = flushes.get(next.fetch_add(1, Ordering::Relaxed)) {
                flush(&mut connection, *rows, bytes, storage).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(written) = writers.join_next().await {
        written??;
    }
    Ok(began.elapsed())
}

async fn flush(
    connection: &mut PgConnection,
    rows: usize,
    bytes: &Bytes,
    storage: Storage,
) -> anyhow::Result<()> {
    let mut transaction = connection.begin().await?;
    if let Some(settings) = storage.settings() {
        sqlx::raw_sql(settings).execute(&mut *transaction).await?;
    }
    let mut copy = transaction.copy_in_raw(copy_rows::STATEMENT).await?;
    for piece in bytes.chunks(PIECE_BYTES) {
        copy.send(piece).await?;
    }
    let written = copy.finish().await?;
    ensure!(written == rows as u64, "COPY wrote {written} of {rows} rows");
    transaction.commit().await?;
    Ok(())
}
