//! The handler of `GetStorageStats`.

use shared::proto::v1;

use crate::error::QueryError;
use crate::read_pool::ReadPool;
use crate::store;

/// The maximum number of chunks that an answer lists: about 1 MiB, or 27 years of daily chunks.
const MAX_CHUNKS: usize = 10_000;

pub(super) async fn handle(
    pool: ReadPool,
    request: v1::GetStorageStatsRequest,
) -> Result<v1::GetStorageStatsResponse, QueryError> {
    let mut chunks = store::chunks(&pool).await?;
    let mut stats = totals(&chunks);
    if request.include_chunks {
        chunks.truncate(MAX_CHUNKS);
        stats.chunks = chunks;
    }
    Ok(stats)
}

fn totals(chunks: &[v1::ChunkStats]) -> v1::GetStorageStatsResponse {
    let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let sum = |bytes: fn(&v1::ChunkStats) -> u64| chunks.iter().map(bytes).sum::<u64>();
    let before = sum(|chunk| chunk.before_compression_bytes);
    let after = sum(|chunk| chunk.after_compression_bytes);
    v1::GetStorageStatsResponse {
        chunk_count: count(chunks.len()),
        compressed_chunk_count: count(chunks.iter().filter(|chunk| chunk.compressed).count()),
        before_compression_bytes: before,
        after_compression_bytes: after,
        compression_ratio: if after == 0 { 0.0 } else { before as f64 / after as f64 },
        total_bytes: sum(|chunk| chunk.total_bytes),
        chunks: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ratio_is_that_of_total_bytes_and_not_a_mean_of_ratios() {
        let chunk = |before, after| v1::ChunkStats {
            compressed: after > 0,
            before_compression_bytes: before,
            after_compression_bytes: after,
            total_bytes: 50,
            ..Default::default()
        };
        let stats = totals(&[chunk(1_000, 10), chunk(1_000, 190), chunk(0, 0)]);
        assert_eq!(
            (stats.chunk_count, stats.compressed_chunk_count, stats.total_bytes),
            (3, 2, 150)
        );
        assert!((stats.compression_ratio - 10.0).abs() < 1e-12);
        assert_eq!(totals(&[chunk(0, 0)]).compression_ratio.to_bits(), 0);
    }
}
