//! The database under test, seen past the services.

use std::process::Stdio;
use std::time::Duration;

use shared::config::DatabaseConfig;
use shared::db;
use shared::granularity::Granularity;
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// Address of the TimescaleDB under test, with the schema in it.
#[must_use]
pub fn database_url() -> String {
    std::env::var("DATABASE_URL").expect("DATABASE_URL is not set; run the tests with: cargo xtask test")
}

/// A configuration for an address.
pub(crate) fn config(url: &str) -> DatabaseConfig {
    DatabaseConfig { url: url.parse().expect("a postgres:// address") }
}

/// A connection of the test's own.
pub struct Sql(pub PgConnection);

impl Sql {
    /// To the database under test.
    pub async fn connect() -> Self {
        Self::connect_to(&database_url()).await
    }

    /// To another one.
    pub async fn connect_to(url: &str) -> Self {
        Self(db::connect(&config(url), "tidegauge test").await.expect("the database under test"))
    }

    /// Stored points of the devices whose id begins with this.
    pub async fn count(&mut self, device_prefix: &str) -> u64 {
        let statement = "SELECT count(*) FROM iot_data WHERE starts_with(device_id, $1)";
        let count: i64 = sqlx::query_scalar(statement).bind(device_prefix).fetch_one(&mut self.0).await.unwrap();
        count.unsigned_abs()
    }

    /// Sum of the stored values of the devices whose id begins with this.
    pub async fn sum(&mut self, device_prefix: &str) -> f64 {
        let statement = "SELECT coalesce(sum(value), 0) FROM iot_data WHERE starts_with(device_id, $1)";
        sqlx::query_scalar(statement).bind(device_prefix).fetch_one(&mut self.0).await.unwrap()
    }

    /// Brings the rollups up to date over an interval, as their policies do. One test at a time: of two refreshes that
    /// overlap, the second returns before the first has stored what both wanted.
    pub async fn refresh(&mut self, start: i64, end: i64) {
        const ONE_AT_A_TIME: i64 = 0x7265_6672_6573_6800;
        sqlx::query("SELECT pg_advisory_lock($1)").bind(ONE_AT_A_TIME).execute(&mut self.0).await.unwrap();
        for rollup in Granularity::ROLLUPS {
            db::refresh(&mut self.0, rollup, start, end).await.unwrap();
            while self.policy_runs().await {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        sqlx::query("SELECT pg_advisory_unlock($1)").bind(ONE_AT_A_TIME).execute(&mut self.0).await.unwrap();
        Self::forget_watermarks().await;
    }

    /// Waits for as long as query-service remembers where a rollup's watermark was.
    pub async fn forget_watermarks() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }

    /// Whether a policy is refreshing, which may be holding what a refresh of ours wanted.
    async fn policy_runs(&mut self) -> bool {
        let statement = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE application_name LIKE 'Refresh Continuous%'
                                        AND datname = current_database())";
        sqlx::query_scalar(statement).fetch_one(&mut self.0).await.unwrap()
    }

    /// Closes the connection.
    pub async fn close(self) {
        self.0.close().await.unwrap();
    }
}

/// A fresh embedded database of a test's own, for what must not happen in the one under test.
pub struct EmbeddedDatabase {
    /// Its address.
    pub url: String,
    _process: Child,
}

impl EmbeddedDatabase {
    /// Starts one in memory; it ends with the test.
    pub async fn start() -> Self {
        let mut process = Command::new("node")
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../embedded-timescaledb/server.mjs"))
            .args(["--port", "0", "--memory", "--exit-with-stdin", "--job-interval", "86400"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("node");
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).await.unwrap();
        let url = line.trim().strip_prefix("listening on ").expect("the embedded database did not start").to_owned();
        Self { url, _process: process }
    }
}
