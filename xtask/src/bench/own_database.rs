//! A database that belongs to the bench alone: made for it, emptied by it, dropped at its end.

use anyhow::{Context as _, ensure};
use shared::config::DatabaseConfig;
use shared::db::{self, Edition};
use shared::granularity::Granularity;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _};
use url::Url;

use super::shape::{METRIC, device_id};
use crate::database::{self, Database};

/// A job of the embedded database holds its one backend.
const NO_JOBS: [&str; 2] = ["--job-interval", "86400"];
/// First TimescaleDB that compresses directly on a hypertable with rollups.
const DIRECT_COMPRESS: (u32, u32) = (2, 24);

pub(super) struct OwnDatabase {
    database: Database,
    /// Server and name of what was created on it; nothing on an embedded one.
    created: Option<(String, String)>,
}

impl OwnDatabase {
    /// Creates a database on the server at the address, or starts an embedded one; brings the schema in.
    pub(super) async fn open(server: Option<String>) -> anyhow::Result<Self> {
        let Some(server) = server else {
            return Ok(Self { database: Database::open_with(None, &NO_JOBS).await?, created: None });
        };
        let name = format!("tidegauge_bench_{:08x}", rand::random::<u32>());
        let mut url = Url::parse(&server).context("DATABASE_URL is not a postgres:// address")?;
        url.set_path(&name);
        let database = run_on(&server, &format!("CREATE DATABASE {name}")).await;
        database.with_context(|| "cannot create a database for the bench; its user needs the right to")?;
        let opened = open_created(url.to_string(), &name).await;
        if opened.is_err() {
            drop_database(&server, &name).await;
        }
        Ok(Self { database: opened?, created: Some((server, name)) })
    }

    pub(super) fn url(&self) -> &str {
        &self.database.url
    }

    pub(super) fn edition(&self) -> &Edition {
        &self.database.edition
    }

    pub(super) fn describe(&self) -> String {
        self.database.describe()
    }

    pub(super) fn is_embedded(&self) -> bool {
        self.created.is_none()
    }

    pub(super) fn compresses_directly(&self) -> bool {
        let mut numbers = self.edition().timescaledb.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
        (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= DIRECT_COMPRESS
    }

    pub(super) fn config(&self) -> anyhow::Result<DatabaseConfig> {
        database::config(self.url())
    }

    pub(super) async fn connect(&self) -> anyhow::Result<PgConnection> {
        Ok(db::connect(&self.config()?, "tidegauge bench").await?)
    }

    /// Adds the series of so many devices, and says their numbers.
    pub(super) async fn create_series(&self, devices: usize) -> anyhow::Result<Vec<i32>> {
        let mut connection = self.connect().await?;
        let names: Vec<String> = (0..devices).map(device_id).collect();
        for names in names.chunks(10_000) {
            sqlx::query("INSERT INTO series (device_id, metric_name) SELECT unnest($1::text[]), $2")
                .bind(names)
                .bind(METRIC)
                .execute(&mut connection)
                .await?;
        }
        let numbers = sqlx::query_scalar("SELECT series_id FROM series ORDER BY device_id");
        Ok(numbers.fetch_all(&mut connection).await?)
    }

    /// Removes all points.
    pub(super) async fn empty(&self) -> anyhow::Result<()> {
        self.execute("TRUNCATE points").await?;
        self.settle().await
    }

    /// Has the server write what it holds back, so that no measurement pays for an earlier one. Not every user may.
    pub(super) async fn settle(&self) -> anyhow::Result<()> {
        let mut connection = self.connect().await?;
        let _ = sqlx::raw_sql("CHECKPOINT").execute(&mut connection).await;
        Ok(())
    }

    pub(super) async fn count_points(&self) -> anyhow::Result<u64> {
        let mut connection = self.connect().await?;
        let count: i64 = sqlx::query_scalar("SELECT count(*) FROM points").fetch_one(&mut connection).await?;
        Ok(count.unsigned_abs())
    }

    /// Compresses all chunks, those that are compressed in part too.
    pub(super) async fn compress(&self) -> anyhow::Result<()> {
        self.execute("SELECT compress_chunk(chunk, recompress => true) FROM show_chunks('points') AS chunk").await
    }

    /// Bytes of all points with their indexes.
    pub(super) async fn bytes(&self) -> anyhow::Result<u64> {
        let mut connection = self.connect().await?;
        let bytes: i64 = sqlx::query_scalar("SELECT hypertable_size('points')").fetch_one(&mut connection).await?;
        Ok(bytes.unsigned_abs())
    }

    /// Materialises the rollups over [start, end).
    pub(super) async fn refresh(&self, start: i64, end: i64) -> anyhow::Result<()> {
        let mut connection = self.connect().await?;
        for rollup in Granularity::ROLLUPS {
            db::refresh(&mut connection, rollup, start, end).await?;
        }
        Ok(())
    }

    /// Drops what was created, or ends the embedded database.
    pub(super) async fn close(self) {
        self.database.close().await;
        if let Some((server, name)) = self.created {
            drop_database(&server, &name).await;
        }
    }

    async fn execute(&self, statement: &'static str) -> anyhow::Result<()> {
        let mut connection = self.connect().await?;
        sqlx::raw_sql(statement).execute(&mut connection).await.with_context(|| statement)?;
        Ok(())
    }
}

/// Brings the schema in and keeps the server's own jobs from running into measurements.
async fn open_created(url: String, name: &str) -> anyhow::Result<Database> {
    let mut connection = db::connect(&database::config(&url)?, "tidegauge bench").await?;
    let current: String = sqlx::query_scalar("SELECT current_database()").fetch_one(&mut connection).await?;
    ensure!(
        current == name,
        "the address leads to the database {current} whatever its path says; take `dbname` out of it"
    );
    let database = Database::open(Some(url)).await?;
    connection.close().await?;
    let mut connection = db::connect(&database::config(&database.url)?, "tidegauge bench").await?;
    let pause = "SELECT alter_job(job_id, scheduled => false) FROM timescaledb_information.jobs WHERE job_id >= 1000";
    sqlx::raw_sql(pause).execute(&mut connection).await?;
    Ok(database)
}

async fn run_on(server: &str, statement: &str) -> anyhow::Result<()> {
    let mut connection = db::connect(&database::config(server)?, "tidegauge bench").await?;
    sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(&mut connection).await?;
    Ok(())
}

async fn drop_database(server: &str, name: &str) {
    if let Err(error) = run_on(server, &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await {
        eprintln!("cannot drop the database {name}: {error:#}");
    }
}
