//! Figures of the database at one moment of a run.

use anyhow::Context as _;
use serde_json::{Value, json};
use shared::granularity::Granularity;
use sqlx::postgres::PgConnection;

/// Figures of the load and of the database at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sample {
    /// Seconds since the load began.
    pub(super) at: f64,
    /// Points per second since the last sample.
    pub(super) rate: f64,
    /// 99th percentile of acknowledgement latency since the last sample, in milliseconds.
    pub(super) ack_p99_ms: f64,
    /// Seconds between now and the watermark of each rollup, the finest rollup first.
    pub(super) lag_s: [f64; 3],
    pub(super) database: DatabaseFigures,
}

#[derive(Clone, Copy, Debug, Default, sqlx::FromRow)]
pub(super) struct DatabaseFigures {
    /// Compressed batches in chunks that compaction has not yet sorted.
    pub(super) backlog_batches: f64,
    /// Size of the points that are not in the columnstore.
    pub(super) row_store_bytes: f64,
    pub(super) columnstore_bytes: f64,
    pub(super) database_bytes: f64,
    /// Position of the end of the write-ahead log.
    pub(super) wal_bytes: f64,
}

const DATABASE: &str = "
    WITH piece AS (
        SELECT chunk.status,
               format('%I.%I', chunk.schema_name, chunk.table_name)::regclass AS rows,
               CASE WHEN columns.id IS NOT NULL
                    THEN format('%I.%I', columns.schema_name, columns.table_name)::regclass
               END AS columns
        FROM _timescaledb_catalog.chunk
        JOIN _timescaledb_catalog.hypertable ON hypertable.id = chunk.hypertable_id
        LEFT JOIN _timescaledb_catalog.chunk AS columns ON columns.id = chunk.compressed_chunk_id
        WHERE hypertable.table_name = 'points'
    )
    SELECT coalesce(sum(n_live_tup) FILTER (WHERE status & 2 > 0), 0)::float8 AS backlog_batches,
           coalesce(sum(pg_relation_size(rows)), 0)::float8 AS row_store_bytes,
           coalesce(sum(pg_total_relation_size(columns)), 0)::float8 AS columnstore_bytes,
           pg_database_size(current_database())::float8 AS database_bytes,
           (pg_current_wal_insert_lsn() - '0/0')::float8 AS wal_bytes
    FROM piece
    LEFT JOIN pg_stat_all_tables ON relid = columns";

/// Seconds between now and a rollup's watermark, where its next refresh begins.
const LAG: &str = "
    SELECT extract(epoch FROM clock_timestamp()
                   - _timescaledb_functions.to_timestamp(
                         _timescaledb_functions.cagg_watermark(mat_hypertable_id)))::float8
    FROM _timescaledb_catalog.continuous_agg
    WHERE user_view_name = $1";

impl Sample {
    pub(super) async fn take(connection: &mut PgConnection) -> anyhow::Result<Self> {
        let database = sqlx::query_as(DATABASE)
            .fetch_one(&mut *connection)
            .await
            .context("cannot query the figures of the database")?;
        let mut sample = Self { database, ..Self::default() };
        for (rollup, lag) in Granularity::ROLLUPS.into_iter().zip(&mut sample.lag_s) {
            *lag =
                sqlx::query_scalar(LAG).bind(rollup.relation()).fetch_one(&mut *connection).await?;
        }
        Ok(sample)
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "at_s": self.at.round(),
            "pps": self.rate.round(),
            "ack_p99_ms": self.ack_p99_ms.round(),
            "minutes_lag_s": self.lag_s[0].round(),
            "hours_lag_s": self.lag_s[1].round(),
            "days_lag_s": self.lag_s[2].round(),
            "backlog_batches": self.database.backlog_batches,
            "row_store_bytes": self.database.row_store_bytes,
            "columnstore_bytes": self.database.columnstore_bytes,
            "database_bytes": self.database.database_bytes,
        })
    }
}
