//! The database under test, accessed directly with SQL.

use std::process::Stdio;
use std::time::{Duration, Instant};

use shared::config::DatabaseConfig;
use shared::db;
use shared::granularity::Granularity;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use url::Url;

/// Time limit for a connection to the database under test.
const PATIENCE: Duration = Duration::from_secs(60);

/// Returns the address of the TimescaleDB under test, which has the schema.
#[must_use]
pub fn database_url() -> String {
    std::env::var("DATABASE_URL")
        .expect("DATABASE_URL is not set; run the tests with: cargo xtask test")
}

/// Returns the configuration for an address.
pub(crate) fn config(url: &str) -> DatabaseConfig {
    DatabaseConfig { url: url.parse().expect("a postgres:// address") }
}

/// A connection of the test's own.
pub struct Sql(pub PgConnection);

impl Sql {
    /// Connects to the database under test.
    pub async fn connect() -> Self {
        Self::connect_to(&database_url()).await
    }

    /// Connects to another database. Retries, because an embedded one serves one connection at a
    /// time.
    pub async fn connect_to(url: &str) -> Self {
        let began = Instant::now();
        loop {
            match db::connect(&config(url), "tidegauge test").await {
                Ok(connection) => return Self(connection),
                Err(error) => {
                    assert!(
                        began.elapsed() < PATIENCE,
                        "no connection to the database under test within {PATIENCE:?}: {error}"
                    )
                }
            }
        }
    }

    /// Returns whether all connections share one backend, as in the embedded database. Nothing can
    /// then run concurrently.
    pub async fn has_one_backend(&mut self) -> bool {
        let pid = "SELECT pg_backend_pid()";
        let mut other = Self::connect().await;
        let own: i32 = sqlx::query_scalar(pid).fetch_one(&mut self.0).await.unwrap();
        own == sqlx::query_scalar::<_, i32>(pid).fetch_one(&mut other.0).await.unwrap()
    }

    /// Counts the stored points of devices whose id has this prefix.
    pub async fn count(&mut self, device_prefix: &str) -> u64 {
        let statement = "SELECT count(*) FROM iot_data WHERE starts_with(device_id, $1)";
        let count: i64 =
            sqlx::query_scalar(statement).bind(device_prefix).fetch_one(&mut self.0).await.unwrap();
        count.unsigned_abs()
    }

    /// Sums the stored values of devices whose id has this prefix.
    pub async fn sum(&mut self, device_prefix: &str) -> f64 {
        let statement =
            "SELECT coalesce(sum(value), 0) FROM iot_data WHERE starts_with(device_id, $1)";
        sqlx::query_scalar(statement).bind(device_prefix).fetch_one(&mut self.0).await.unwrap()
    }

    /// Refreshes all rollups over an interval, as their policies do. Tests take turns: of two
    /// overlapping refreshes, the second returns before the first has stored the range of both.
    pub async fn refresh(&mut self, start: i64, end: i64) {
        const ONE_AT_A_TIME: i64 = 0x7265_6672_6573_6800;
        sqlx::query("SELECT pg_advisory_lock($1)")
            .bind(ONE_AT_A_TIME)
            .execute(&mut self.0)
            .await
            .unwrap();
        for rollup in Granularity::ROLLUPS {
            db::refresh(&mut self.0, rollup, start, end).await.unwrap();
            let idle = async {
                while self.policy_runs().await {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            };
            tokio::time::timeout(PATIENCE, idle).await.expect("a refresh policy does not end");
        }
        sqlx::query("SELECT pg_advisory_unlock($1)")
            .bind(ONE_AT_A_TIME)
            .execute(&mut self.0)
            .await
            .unwrap();
        Self::forget_watermarks().await;
    }

    /// Runs the refresh job of a rollup, as the database's scheduler does.
    ///
    /// # Errors
    /// Fails if the job fails.
    pub async fn run_refresh_job(&mut self, rollup: Granularity) -> sqlx::Result<()> {
        let statement =
            "SELECT job_id FROM timescaledb_information.jobs WHERE application_name LIKE $1";
        let name = format!("Refresh Rollup {} %", rollup.relation());
        let job = sqlx::query_scalar(statement).bind(name).fetch_one(&mut self.0).await?;
        self.run_job(job).await
    }

    /// Runs the job that compacts closed chunks, as the database's scheduler does.
    ///
    /// # Errors
    /// Fails if the job fails.
    pub async fn run_compaction_job(&mut self) -> sqlx::Result<()> {
        let statement = "SELECT job_id FROM timescaledb_information.jobs
                         WHERE proc_name = 'compact_closed_chunks'";
        let job = sqlx::query_scalar(statement).fetch_one(&mut self.0).await?;
        self.run_job(job).await
    }

    async fn run_job(&mut self, job: i32) -> sqlx::Result<()> {
        sqlx::raw_sql(AssertSqlSafe(format!("CALL run_job({job})")))
            .execute(&mut self.0)
            .await
            .map(|_| ())
    }

    /// Creates the extension in an empty database and stops its job scheduler. Otherwise, pausing a
    /// running job would end it, which counts as a failed run. Needs a superuser. Without one, jobs
    /// keep running.
    async fn stop_scheduler(&mut self) {
        sqlx::raw_sql("CREATE EXTENSION IF NOT EXISTS timescaledb")
            .execute(&mut self.0)
            .await
            .unwrap();
        let stop = "SELECT _timescaledb_functions.stop_background_workers()";
        drop(sqlx::raw_sql(stop).execute(&mut self.0).await);
    }

    /// Waits for one second, which is how long query-service caches watermarks.
    pub async fn forget_watermarks() {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }

    /// Returns whether a policy is refreshing. It may hold a range that a refresh of the test
    /// needs.
    async fn policy_runs(&mut self) -> bool {
        let statement = "SELECT EXISTS (SELECT FROM pg_stat_activity
                                        WHERE application_name LIKE 'Refresh Rollup%'
                                        AND datname = current_database())";
        sqlx::query_scalar(statement).fetch_one(&mut self.0).await.unwrap()
    }

    /// Closes the connection.
    pub async fn close(self) {
        self.0.close().await.unwrap();
    }
}

/// A fresh database of a test's own, on the same server or embedded. It isolates what would disturb
/// other tests or be slow among their data. No policy runs by itself.
pub struct OwnDatabase {
    /// Address of the database.
    pub url: String,
    _origin: Origin,
}

/// Origin of the database, which decides how it is removed.
enum Origin {
    /// An embedded database, which ends when the process is dropped.
    Embedded(#[allow(dead_code)] Child),
    /// A database on the server under test, which is dropped by name.
    Created { name: String },
}

impl OwnDatabase {
    /// Starts a database with the schema. It is removed at the end of the test.
    pub async fn start() -> Self {
        let own = Self::start_empty().await;
        if let Origin::Created { .. } = own._origin {
            own.sql().await.stop_scheduler().await;
        }
        db::migrate(&own.config()).await.expect("cannot apply the migrations");
        if let Origin::Created { .. } = own._origin {
            let pause = "SELECT alter_job(job_id, scheduled => false) \
                         FROM timescaledb_information.jobs WHERE job_id >= 1000";
            sqlx::query(pause)
                .execute(&mut own.sql().await.0)
                .await
                .expect("cannot pause the jobs");
        }
        own
    }

    /// Starts a database without the schema.
    pub async fn start_empty() -> Self {
        let mut sql = Sql::connect().await;
        let version: String =
            sqlx::query_scalar("SELECT version()").fetch_one(&mut sql.0).await.unwrap();
        if version.contains("emcc") {
            Self::start_embedded().await
        } else {
            Self::create(sql).await
        }
    }

    async fn create(mut sql: Sql) -> Self {
        let name = format!("tidegauge_test_{:016x}", rand::random::<u64>());
        let create = AssertSqlSafe(format!("CREATE DATABASE {name}"));
        sqlx::query(create).execute(&mut sql.0).await.expect("cannot create a database");
        let mut url = Url::parse(&database_url()).unwrap();
        url.set_path(&name);
        Self { url: url.to_string(), _origin: Origin::Created { name } }
    }

    async fn start_embedded() -> Self {
        let mut process = Command::new("node")
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../embedded-timescaledb/server.mjs"))
            .args(["--port", "0", "--memory", "--exit-with-stdin", "--job-interval", "86400"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("cannot start node");
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).await.unwrap();
        let url = line
            .trim()
            .strip_prefix("listening on ")
            .expect("the embedded database did not start")
            .to_owned();
        Self { url, _origin: Origin::Embedded(process) }
    }

    /// Returns the configuration of the database.
    #[must_use]
    pub fn config(&self) -> DatabaseConfig {
        config(&self.url)
    }

    /// Connects to the database.
    pub async fn sql(&self) -> Sql {
        Sql::connect_to(&self.url).await
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        if let Self::Created { name } = self {
            let drop = AssertSqlSafe(format!("DROP DATABASE {name} WITH (FORCE)"));
            // A separate thread and runtime do this, because the test's own runtime may be ending.
            let dropped = std::thread::spawn(|| {
                let runtime =
                    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async {
                    sqlx::query(drop).execute(&mut Sql::connect().await.0).await
                })
            });
            let is_dropped = matches!(dropped.join(), Ok(Ok(_)));
            assert!(is_dropped || std::thread::panicking(), "cannot drop the database {name}");
        }
    }
}
