//! Compaction of flushes that were compressed as they were written, once their day is over.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a failing test may panic

use e2e::{Services, Sql, now, series, unique};
use shared::proto::v1::{Batch, SeriesPoints};

const DAY: i64 = 86_400_000_000;
const FLUSHES: i64 = 4;
const DEVICES: usize = 1_000;
const POINTS: i64 = 10;

#[tokio::test]
async fn pieces_of_a_day_that_is_over_are_put_together_and_every_point_stays() {
    let services = Services::start().await;
    let mut sql = Sql::connect().await;
    let device = unique("pieces");
    let noon = now() - now() % DAY - 17 * DAY + DAY / 2; // no other test writes to this day
    for flush in 0..FLUSHES {
        let first = noon + flush * POINTS;
        let series: Vec<SeriesPoints> = (0..DEVICES)
            .map(|number| {
                let times: Vec<i64> = (first..first + POINTS).collect();
                series(&format!("{device}-{number}"), times, vec![1.0; 10])
            })
            .collect();
        let stored = services.send(Batch { series, ..Batch::default() }).await.unwrap();
        assert_eq!(stored.accepted_count, 10_000);
    }
    let found = sql.count(&device).await;
    let sum = sql.sum(&device).await;
    assert_eq!((found, sum), (40_000, 40_000.0));
    let written = pieces(&mut sql, noon).await;
    let compresses =
        sqlx::query_scalar(include_str!("../../ingest-service/src/sql/direct_compress_served.sql"));
    let compresses: bool = compresses.fetch_one(&mut sql.0).await.unwrap();
    let as_written = if compresses { 4 * DEVICES as i64 } else { 0 };
    assert!(written >= as_written, "{written} pieces, expected at least {as_written}");

    sql.run_compaction_job().await.unwrap();
    let left = pieces(&mut sql, noon).await;
    assert!(left <= written / 2, "{left} of {written} pieces remain");
    assert_eq!((sql.count(&device).await, sql.sum(&device).await), (found, sum));
}

/// Counts the compressed pieces of the chunk that contains a time.
async fn pieces(sql: &mut Sql, time: i64) -> i64 {
    let statement = "SELECT format('%I.%I', compressed.schema_name, compressed.table_name)
                     FROM timescaledb_information.chunks AS listed
                     JOIN _timescaledb_catalog.chunk
                       ON (chunk.schema_name, chunk.table_name)
                        = (listed.chunk_schema, listed.chunk_name)
                     JOIN _timescaledb_catalog.chunk AS compressed
                       ON compressed.id = chunk.compressed_chunk_id
                     WHERE listed.hypertable_name = 'points'
                       AND to_timestamp($1 / 1e6) >= listed.range_start
                       AND to_timestamp($1 / 1e6) < listed.range_end";
    let table: Option<String> =
        sqlx::query_scalar(statement).bind(time as f64).fetch_optional(&mut sql.0).await.unwrap();
    match table {
        Some(table) => {
            sqlx::query_scalar(sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {table}")))
                .fetch_one(&mut sql.0)
                .await
                .unwrap()
        }
        None => 0,
    }
}
