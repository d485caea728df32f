//! The statement for the sizes of chunks.

use shared::db::Micros;
use shared::proto::v1;
use shared::time;

use crate::read_pool::ReadPool;

type ChunkRow = (String, Micros, Micros, bool, i64, i64, i64);

/// Returns the size on disk of each chunk of raw points, newest first.
pub(crate) async fn chunks(pool: &ReadPool) -> sqlx::Result<Vec<v1::ChunkStats>> {
    let rows: Vec<ChunkRow> =
        sqlx::query_as(include_str!("../sql/chunks.sql")).fetch_all(&pool.named("chunks")).await?;
    let chunk =
        |(chunk_name, start, end, compressed, before, after, total): ChunkRow| v1::ChunkStats {
            chunk_name,
            start: Some(time::to_timestamp(start.0)),
            end: Some(time::to_timestamp(end.0)),
            compressed,
            before_compression_bytes: before.unsigned_abs(),
            after_compression_bytes: after.unsigned_abs(),
            total_bytes: total.unsigned_abs(),
        };
    Ok(rows.into_iter().map(chunk).collect())
}
