//! The limit: the same rows through COPY, encoded beforehand, without a service in between.

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

/// Connections, as many as the service has writers.
const CONNECTIONS: usize = 2;
/// Bytes of one message, as the service's writer sends them.
const PIECE_BYTES: usize = 256 * 1024;

/// How the database is to store rows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Storage {
    RowStore,
    DirectCompress,
}

/// Writes all points of a shape, a transaction a flush, and says how long it took until the last COMMIT returned.
pub(super) async fn write(
    database: &OwnDatabase,
    shape: &Shape,
    series_ids: &[i32],
    storage: Storage,
) -> anyhow::Result<Duration> {
    let flushes: Vec<_> = shape
        .parts(FLUSH_POINTS)
        .map(|part| (shape.points_of(&part), render::copy_binary(shape, &part, series_ids)))
        .collect();
    let (next, flushes) = (Arc::new(AtomicUsize::new(0)), Arc::new(flushes));
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        connections.push(database.connect().await?);
    }
    let mut writers = JoinSet::new();
    let began = Instant::now();
    for mut connection in connections {
        let (next, flushes) = (Arc::clone(&next), Arc::clone(&flushes));
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

async fn flush(connection: &mut PgConnection, rows: usize, bytes: &Bytes, storage: Storage) -> anyhow::Result<()> {
    let mut transaction = connection.begin().await?;
    if storage == Storage::DirectCompress {
        sqlx::query("SET LOCAL timescaledb.enable_direct_compress_copy = on").execute(&mut *transaction).await?;
    }
    let mut copy = transaction.copy_in_raw(copy_rows::STATEMENT).await?;
    for piece in bytes.chunks(PIECE_BYTES) {
        copy.send(piece).await?;
    }
    let written = copy.finish().await?;
    ensure!(written == rows as u64, "COPY took {written} of {rows} rows");
    transaction.commit().await?;
    Ok(())
}
