//! A database that one command creates for itself and drops when it ends.

use anyhow::{Context as _, ensure};
use shared::config::DatabaseConfig;
use shared::db::{self, Edition};
use sqlx::AssertSqlSafe;
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;
use url::Url;

use crate::database::{self, Database};

/// Options that keep the background jobs of an embedded database from running for a day.
/// It has a single backend, and a running job would block the command.
const NO_JOBS: [&str; 2] = ["--job-interval", "86400"];

/// Whether TimescaleDB's policies (refresh, compression, retention) run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Policies {
    Run,
    /// No policy runs, so that none slows down one measurement and not another.
    Paused,
}

/// A database with Tidegauge's schema that belongs to this command alone.
pub(crate) struct OwnDatabase {
    database: Database,
    /// The application name of this command's connections in `pg_stat_activity`.
    client: String,
    /// The URL of the server and the name of the created database. `None` if it is embedded.
    created: Option<(String, String)>,
}

impl OwnDatabase {
    /// Creates a database on the server at `server`, or starts an embedded one. Creates the
    /// schema in it. `purpose` becomes a part of the database's name.
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
        let mut url = Url::parse(server)
            .context("--database-url or DATABASE_URL is not a valid postgres:// URL")?;
        url.set_path(&name);
        let created = run_on(server, &client, &format!("CREATE DATABASE {name}")).await;
        created.context("cannot create a database; the user in DATABASE_URL needs CREATEDB")?;
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
        self.database.is_embedded()
    }

    pub(crate) fn config(&self) -> anyhow::Result<DatabaseConfig> {
        database::config(self.url())
    }

    pub(crate) async fn connect(&self) -> anyhow::Result<PgConnection> {
        Ok(db::connect(&self.config()?, &self.client).await?)
    }

    /// Connects with the session settings that query-service uses.
    pub(crate) async fn connect_to_read(&self) -> anyhow::Result<PgConnection> {
        let url = self.config()?.url.options(db::READ_SETTINGS);
        Ok(db::connect(&DatabaseConfig { url }, &self.client).await?)
    }

    /// Drops the created database, or stops the embedded one.
    pub(crate) async fn close(self) {
        self.database.close().await;
        if let Some((server, name)) = self.created {
            drop_database(&server, &self.client, &name).await;
        }
    }
}

/// Creates the schema in a database that was just created, and pauses the policies if asked to.
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
        "DATABASE_URL names the database {current} in a query parameter, which overrides the path; \
         remove `dbname` from the URL"
    );
    connection.close().await?;
    let database = Database::open(Some(url)).await?;
    if policies == Policies::Paused {
        let pause = "SELECT alter_job(job_id, scheduled => false) \
                     FROM timescaledb_information.jobs WHERE job_id >= 1000";
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
