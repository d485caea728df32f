//! Uses the database directly: counts points without the services, refreshes the rollups, and
//! compresses a chunk.

use anyhow::Context as _;
use shared::db::{self, Micros};
use shared::granularity::Granularity;
use sqlx::postgres::PgConnection;

use super::simulate::Fleet;
use super::weather::Weather;
use crate::database;

/// Bytes of a chunk before and after compression.
#[derive(Clone, Copy, Debug)]
pub(super) struct Compression {
    pub(super) before: i64,
    pub(super) after: i64,
}

/// A connection that does not go through the services.
pub(super) struct DatabaseConnection(PgConnection);

/// Condition for the devices of the demo.
const DEVICES: &str = "(device_id LIKE 'sensor-%' OR device_id LIKE 'weather-%')";

impl DatabaseConnection {
    pub(super) async fn connect(url: &str) -> anyhow::Result<Self> {
        Ok(Self(db::connect(&database::config(url)?, "tidegauge demo").await?))
    }

    /// Returns the number of points of the demo's devices, within the times that it sends.
    pub(super) async fn count_points(
        &mut self,
        fleet: &Fleet,
        weather: &Weather,
    ) -> anyhow::Result<u64> {
        self.count("points", "\"timestamp\"", fleet, weather).await
    }

    /// Returns the numbers of one-minute and one-hour buckets of the demo's devices.
    pub(super) async fn count_buckets(
        &mut self,
        fleet: &Fleet,
        weather: &Weather,
    ) -> anyhow::Result<(u64, u64)> {
        let minutes = self.count("points_1min", "bucket", fleet, weather).await?;
        Ok((minutes, self.count("points_1hour", "bucket", fleet, weather).await?))
    }

    async fn count(
        &mut self,
        relation: &str,
        column: &str,
        fleet: &Fleet,
        weather: &Weather,
    ) -> anyhow::Result<u64> {
        let statement = format!(
            "SELECT count(*) FROM {relation} JOIN series USING (series_id)
             WHERE {DEVICES} AND {column} >= date_trunc('day', $1::timestamptz) AND {column} < $2"
        );
        let count: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(statement))
            .bind(Micros(weather.first().min(fleet.start)))
            .bind(Micros(fleet.end))
            .fetch_one(&mut self.0)
            .await?;
        Ok(count.unsigned_abs())
    }

    /// Refreshes all rollups over the demo's times, without waiting for their policies.
    pub(super) async fn refresh_rollups(&mut self, start: i64, end: i64) -> anyhow::Result<()> {
        for rollup in Granularity::ROLLUPS {
            db::refresh(&mut self.0, rollup, start, end)
                .await
                .with_context(|| format!("cannot refresh {rollup:?}"))?;
        }
        Ok(())
    }

    /// Compresses the chunk with most of the fleet's points, and returns its size before and after.
    /// With few points per series, compression can add bytes.
    pub(super) async fn compress_chunk(&mut self, fleet: &Fleet) -> anyhow::Result<Compression> {
        let chunk: String = sqlx::query_scalar(
            "SELECT format('%I.%I', chunk_schema, chunk_name) FROM timescaledb_information.chunks
             WHERE hypertable_name = 'points' AND range_start <= $1 AND range_end > $1",
        )
        .bind(Micros(fleet.start.midpoint(fleet.end)))
        .fetch_one(&mut self.0)
        .await
        .context("cannot find the chunk with the fleet's points")?;
        sqlx::query("SELECT compress_chunk($1::regclass, if_not_compressed => true)")
            .bind(&chunk)
            .execute(&mut self.0)
            .await?;
        let (before, after): (i64, i64) = sqlx::query_as(
            "SELECT before_compression_total_bytes, after_compression_total_bytes
             FROM chunk_compression_stats('points')
             WHERE format('%I.%I', chunk_schema, chunk_name) = $1",
        )
        .bind(&chunk)
        .fetch_one(&mut self.0)
        .await?;
        Ok(Compression { before, after })
    }
}
