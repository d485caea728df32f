//! A database that belongs to one command alone: made for it, and dropped at its end.

use anyhow::{Context as _, ensure};
use shared::config::DatabaseConfig;
use shared::db::{self, Edition};
use sqlx::AssertSqlSafe;
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;
use url::Url;

use crate::database::{self, Database};

/// Options of an embedded database whose jobs stay asleep: each of them holds its one backend.
const NO_JOBS: [&str; 2] = ["--job-interval", "86400"];

/// Whether the policies run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Policies {
    Run,
    /// None runs into one measurement and not into the next.
    Paused,
}

pub(crate) struct OwnDatabase {
    database: Database,
    /// For `pg_stat_activity`.
    client: String,
    /// Server and name of what was created on it; nothing on an embedded one.
    created: Option<(String, String)>,
}

impl OwnDatabase {
    /// Creates a database on the server at the address, or starts an embedded one; brings the schema in. `purpose` is a part
    /// of its name.
    pub(crate) async fn open(
        server: Option<&str>,
        purpose: &str,
        policies: Policies,
    ) -> anyhow::Result<Self> {
        let client = format!("tidegauge {purpose}");
        let Some(server) = server else {
            let options = if policies == Policies::Paused { &NO_JOBS[..] } else { &[] };
            return Ok(Self {
                database: Database::open_with(None, options).await?,
                client,
                created: None,
            });
        };
        let name = format!("tidegauge_{purpose}_{:08x}", rand::random::<u32>());
        let mut url = Url::parse(server).context("DATABASE_URL is not a postgres:// address")?;
        url.set_path(&name);
        let created = run_on(server, &client, &format!("CREATE DATABASE {name}")).await;
        created.context(
            "cannot create a database of its own; the user in DATABASE_URL needs the right to",
        )?;
        match open_created(url.to_string(), &name, &client, policies).await {
            Ok(database) => Ok(Self { database, client, created: Some((server.to_owned(), name)) }),
            Err(error) => {
                drop_database(server, &client, &name).await;
                Err(error)
            }
        }
    }

    pub(crate) fn url(&self) -> &str {
        &self.database.url
    }

    pub(crate) fn edition(&self) -> &Edition {
        &self.database.edition
    }

    pub(crate) fn describe(&self) -> String {
        self.database.describe()
    }

    pub(crate) fn is_embedded(&self) -> bool {
        self.created.is_none()
    }

    pub(crate) fn config(&self) -> anyhow::Result<DatabaseConfig> {
        database::config(self.url())
    }

    pub(crate) async fn connect(&self) -> anyhow::Result<PgConnection> {
        Ok(db::connect(&self.config()?, &self.client).await?)
    }

    /// A connection with the settings that query-service has.
    pub(crate) async fn connect_to_read(&self) -> anyhow::Result<PgConnection> {
        let url = self.config()?.url.options(db::READ_SETTINGS);
        Ok(db::connect(&DatabaseConfig { url }, &self.client).await?)
    }

    /// Drops what was created, or ends the embedded database.
    pub(crate) async fn close(self) {
        self.database.close().await;
        if let Some((server, name)) = self.created {
            drop_database(&server, &self.client, &name).await;
        }
    }
}

/// Brings the schema in.
async fn open_created(
    url: String,
    name: &str,
    client: &str,
    policies: Policies,
) -> anyhow::Result<Database> {
    let mut connection = db::connect(&database::config(&url)?, client).await?;
    let current: String =
        sqlx::query_scalar("SELECT current_database()").fetch_one(&mut connection).await?;
    ensure!(
        current == name,
        "the address leads to the database {current} whatever its path says; take `dbname` out of it"
    );
    connection.close().await?;
    let database = Database::open(Some(url)).await?;
    if policies == Policies::Paused {
        let pause = "SELECT alter_job(job_id, scheduled => false) FROM timescaledb_information.jobs WHERE job_id >= 1000";
        run_on(&database.url, client, pause).await?;
    }
    Ok(database)
}

async fn run_on(url: &str, client: &str, statement: &str) -> anyhow::Result<()> {
    let mut connection = db::connect(&database::config(url)?, client).await?;
    sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(&mut connection).await?;
    Ok(())
}

async fn drop_database(server: &str, client: &str, name: &str) {
    if let Err(error) =
        run_on(server, client, &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await
    {
        eprintln!("cannot drop the database {name}: {error:#}");
    }
}
