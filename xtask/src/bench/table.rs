//! The points table of the benchmark's database, which is filled and emptied between measurements.

use anyhow::Context as _;
use shared::db;
use shared::granularity::Granularity;
use sqlx::AssertSqlSafe;

use crate::own_database::OwnDatabase;

/// First version of TimescaleDB that compresses directly on a hypertable with rollups.
const DIRECT_COMPRESS: (u32, u32) = (2, 24);

/// The points of a database.
#[derive(Clone, Copy)]
pub(super) struct PointsTable<'a>(pub(super) &'a OwnDatabase);

impl PointsTable<'_> {
    pub(super) fn compresses_directly(self) -> bool {
        let mut numbers = self
            .0
            .edition()
            .timescaledb
            .split(['.', '-'])
            .map_while(|part| part.parse::<u32>().ok());
        (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= DIRECT_COMPRESS
    }

    /// Creates one series per device. Returns their series ids in the order of the devices.
    pub(super) async fn create_series(
        self,
        devices: &[String],
        metric: &str,
    ) -> anyhow::Result<Vec<i32>> {
        let mut connection = self.0.connect().await?;
        let mut series_ids = Vec::with_capacity(devices.len());
        for devices in devices.chunks(10_000) {
            let insert =
                "INSERT INTO series (device_id, metric_name) SELECT unnest($1::text[]), $2";
            sqlx::query(insert).bind(devices).bind(metric).execute(&mut connection).await?;
            let select = "SELECT series_id
                          FROM unnest($1::text[]) WITH ORDINALITY AS wanted (device_id, place)
                          JOIN series USING (device_id) WHERE metric_name = $2 ORDER BY place";
            let found: Vec<i32> = sqlx::query_scalar(select)
                .bind(devices)
                .bind(metric)
                .fetch_all(&mut connection)
                .await?;
            series_ids.extend(found);
        }
        Ok(series_ids)
    }

    /// Removes all points.
    pub(super) async fn empty(self) -> anyhow::Result<()> {
        self.execute("TRUNCATE points").await?;
        self.settle().await
    }

    /// Removes all points and all series.
    pub(super) async fn forget_series(self) -> anyhow::Result<()> {
        self.execute("TRUNCATE series").await?;
        self.empty().await
    }

    /// Runs a CHECKPOINT, so that no measurement pays for the writes of an earlier one. Users
    /// without the right to do so skip it.
    pub(super) async fn settle(self) -> anyhow::Result<()> {
        let mut connection = self.0.connect().await?;
        let _ = sqlx::raw_sql("CHECKPOINT").execute(&mut connection).await;
        Ok(())
    }

    pub(super) async fn count_points(self) -> anyhow::Result<u64> {
        let mut connection = self.0.connect().await?;
        let count: i64 =
            sqlx::query_scalar("SELECT count(*) FROM points").fetch_one(&mut connection).await?;
        Ok(count.unsigned_abs())
    }

    /// Compresses all chunks, including those that are compressed in part.
    pub(super) async fn compress(self) -> anyhow::Result<()> {
        self.execute(
            "SELECT compress_chunk(chunk, recompress => true) FROM show_chunks('points') AS chunk",
        )
        .await
    }

    /// Returns the size of all points, with their indexes.
    pub(super) async fn bytes(self) -> anyhow::Result<u64> {
        let mut connection = self.0.connect().await?;
        let bytes: i64 = sqlx::query_scalar("SELECT hypertable_size('points')")
            .fetch_one(&mut connection)
            .await?;
        Ok(bytes.unsigned_abs())
    }

    /// Returns the size of remembered batches: their table with its index, and their entries in the
    /// rows of producers.
    pub(super) async fn ledger_bytes(self) -> anyhow::Result<f64> {
        let mut connection = self.0.connect().await?;
        let statement = "SELECT (pg_total_relation_size('producer_batches')
                                 + coalesce(sum(octet_length(recent)), 0))::float8
                         FROM producers";
        Ok(sqlx::query_scalar(statement).fetch_one(&mut connection).await?)
    }

    /// Materialises the rollups over [start, end).
    pub(super) async fn refresh(self, start: i64, end: i64) -> anyhow::Result<()> {
        let mut connection = self.0.connect().await?;
        for rollup in Granularity::ROLLUPS {
            db::refresh(&mut connection, rollup, start, end).await?;
        }
        Ok(())
    }

    /// Resumes or pauses the policies.
    pub(super) async fn set_policies(self, run: bool) -> anyhow::Result<()> {
        let mut connection = self.0.connect().await?;
        let statement = "SELECT alter_job(job_id, scheduled => $1)
                         FROM timescaledb_information.jobs WHERE job_id >= 1000";
        sqlx::query(statement).bind(run).execute(&mut connection).await?;
        Ok(())
    }

    /// Runs the refresh policy of each rollup once, the finest rollup first.
    pub(super) async fn run_refresh_policies(self) -> anyhow::Result<()> {
        let mut connection = self.0.connect().await?;
        let jobs: Vec<i32> = sqlx::query_scalar(
            "SELECT job_id FROM timescaledb_information.jobs
             WHERE proc_name = 'refresh_rollup' ORDER BY job_id",
        )
        .fetch_all(&mut connection)
        .await?;
        for job in jobs {
            sqlx::query("CALL run_job($1)").bind(job).execute(&mut connection).await?;
        }
        Ok(())
    }

    /// Returns the number of points that a rollup contains.
    pub(super) async fn count_in_rollup(self, rollup: Granularity) -> anyhow::Result<u64> {
        let mut connection = self.0.connect().await?;
        let statement = format!("SELECT coalesce(sum(count), 0)::int8 FROM {}", rollup.relation());
        let count: i64 =
            sqlx::query_scalar(AssertSqlSafe(statement)).fetch_one(&mut connection).await?;
        Ok(count.unsigned_abs())
    }

    async fn execute(self, statement: &'static str) -> anyhow::Result<()> {
        let mut connection = self.0.connect().await?;
        sqlx::raw_sql(statement).execute(&mut connection).await.with_context(|| statement)?;
        Ok(())
    }
}
