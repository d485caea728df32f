//! Stores the points in the database.
//!
//! As under the columnstore policy, points older than a week are compressed and the last week is in
//! the row store. The rollups are then materialised as far as their policies would do it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, ensure};
use shared::db::{self, Micros};
use shared::granularity::Granularity;
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;
use tokio::task::JoinSet;

use super::data::{DAY, Dataset, METRIC, MINUTE};
use crate::bench::copy_rows::{self, CopyRows};
use crate::bench::table::PointsTable;
use crate::own_database::OwnDatabase;

/// Days that are written concurrently, each on a connection of its own.
const CONNECTIONS: usize = 2;
/// Bytes of one COPY message.
const PIECE_BYTES: usize = 256 * 1024;
/// Time after the end of a chunk from which it is compressed, in microseconds.
const ROW_STORE: i64 = 7 * DAY;

/// Fills an empty database.
pub(super) async fn fill(database: &OwnDatabase, data: Dataset) -> anyhow::Result<()> {
    let table = PointsTable(database);
    let devices: Vec<String> = (0..data.series()).map(|series| data.device_id(series)).collect();
    let series_ids = table.create_series(&devices, METRIC).await?;
    ensure!(
        series_ids.is_sorted(),
        "series ids do not rise in the order in which the series were created"
    );
    let direct = table.compresses_directly();
    let series_ids = Arc::new(series_ids);
    day_by_day(database, data, move |mut connection, (start, end)| {
        let series_ids = Arc::clone(&series_ids);
        async move {
            let compressed = end <= data.end - ROW_STORE;
            copy_day(&mut connection, data, &series_ids, (start, end), compressed && direct)
                .await?;
            if compressed && !direct {
                compress_day(&mut connection, start).await?;
            }
            Ok(connection)
        }
    })
    .await?;
    let stored = table.count_points().await?;
    let wanted = data.points();
    ensure!(stored == wanted, "{stored} of {wanted} points are stored");
    materialise(database, data).await?;
    let mut connection = database.connect().await?;
    sqlx::raw_sql("VACUUM (ANALYZE)").execute(&mut connection).await?;
    table.settle().await
}

/// Runs `work` for each day of the data, over several connections.
async fn day_by_day<F, W>(database: &OwnDatabase, data: Dataset, work: F) -> anyhow::Result<()>
where
    F: Fn(PgConnection, (i64, i64)) -> W + Clone + Send + 'static,
    W: Future<Output = anyhow::Result<PgConnection>> + Send,
{
    let days: Arc<Vec<(i64, i64)>> = Arc::new(data.days().collect());
    let next = Arc::new(AtomicUsize::new(0));
    let mut workers = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let mut connection = database.connect().await?;
        let days = Arc::clone(&days);
        let next = Arc::clone(&next);
        let work = work.clone();
        workers.spawn(async move {
            while let Some(day) = days.get(next.fetch_add(1, Ordering::Relaxed)) {
                connection = work(connection, *day).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(done) = workers.join_next().await {
        done??;
    }
    Ok(())
}

/// Writes the points of a day in the order of the columnstore: by series, the newest first.
async fn copy_day(
    connection: &mut PgConnection,
    data: Dataset,
    series_ids: &[i32],
    (start, end): (i64, i64),
    direct_compress: bool,
) -> anyhow::Result<()> {
    let mut transaction = connection.begin().await?;
    if direct_compress {
        let set = "SET LOCAL timescaledb.enable_direct_compress_copy = on;
                   SET LOCAL timescaledb.enable_direct_compress_copy_client_sorted = on";
        sqlx::raw_sql(set).execute(&mut *transaction).await?;
    }
    let mut copy = transaction.copy_in_raw(copy_rows::STATEMENT).await?;
    let mut rows = CopyRows::new(0);
    for (series, &series_id) in series_ids.iter().enumerate() {
        for time in data.times(series, start, end).rev() {
            rows.push(time, series_id, data.value(series, time));
            if let Some(piece) = rows.take_piece(PIECE_BYTES) {
                copy.send(piece).await?;
            }
        }
    }
    copy.send(rows.finish()).await?;
    copy.finish().await?;
    Ok(transaction.commit().await?)
}

async fn compress_day(connection: &mut PgConnection, start: i64) -> anyhow::Result<()> {
    let statement = "SELECT compress_chunk(chunk)
                     FROM show_chunks('points', older_than => $2, newer_than => $1) AS chunk";
    sqlx::query(statement)
        .bind(Micros(start))
        .bind(Micros(start + DAY))
        .execute(connection)
        .await?;
    Ok(())
}

/// Materialises the rollups up to where their policies in `migrations/` would.
async fn materialise(database: &OwnDatabase, data: Dataset) -> anyhow::Result<()> {
    for rollup in Granularity::ROLLUPS {
        let width = rollup.bucket_micros().context("a rollup has no bucket width")?;
        let end = rollup.floor(data.end - width.max(MINUTE));
        day_by_day(database, data, move |mut connection, (start, day_end)| async move {
            if start < end {
                db::refresh(&mut connection, rollup, start, end.min(day_end)).await?;
            }
            Ok(connection)
        })
        .await
        .with_context(|| format!("cannot refresh {}", rollup.relation()))?;
    }
    Ok(())
}
