//! A database for the faults alone: made for them, and dropped at their end.

use anyhow::Context as _;
use shared::config::DatabaseConfig;
use shared::db;
use sqlx::{AssertSqlSafe, ConnectOptions as _};

use crate::database::{self, Database};

pub(super) struct OwnDatabase {
    database: Database,
    /// Server and name of what was created on it; nothing on an embedded one.
    created: Option<(DatabaseConfig, String)>,
}

impl OwnDatabase {
    /// Creates a database on the server at the address, or starts an embedded one; brings the schema in.
    pub(super) async fn open(server: Option<&str>) -> anyhow::Result<Self> {
        let Some(server) = server else {
            return Ok(Self { database: Database::open(None).await?, created: None });
        };
        let server = database::config(server)?;
        let name = format!("tidegauge_faults_{:08x}", rand::random::<u32>());
        execute(&server, format!("CREATE DATABASE {name}")).await.context("cannot create a database for the faults")?;
        let url = server.url.clone().database(&name).to_url_lossy();
        match Database::open(Some(url.to_string())).await {
            Ok(database) => Ok(Self { database, created: Some((server, name)) }),
            Err(error) => {
                drop_database(&server, &name).await;
                Err(error)
            }
        }
    }

    pub(super) fn url(&self) -> &str {
        &self.database.url
    }

    pub(super) fn describe(&self) -> String {
        self.database.describe()
    }

    pub(super) async fn close(self) {
        self.database.close().await;
        if let Some((server, name)) = self.created {
            drop_database(&server, &name).await;
        }
    }
}

async fn drop_database(server: &DatabaseConfig, name: &str) {
    if let Err(error) = execute(server, format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await {
        eprintln!("cannot drop the database {name}: {error}");
    }
}

async fn execute(server: &DatabaseConfig, statement: String) -> sqlx::Result<()> {
    let mut connection = db::connect(server, "tidegauge faults").await?;
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await?;
    Ok(())
}
