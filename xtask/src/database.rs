//! The TimescaleDB that a command works on: the one it is given, or an embedded one that it starts.

use anyhow::Context as _;
use shared::config::DatabaseConfig;
use shared::db::{self, Edition};

use crate::programs::{self, Server};

/// A database with the schema in it.
pub(crate) struct Database {
    pub(crate) url: String,
    pub(crate) edition: Edition,
    /// Where this command started it.
    pub(crate) server: Option<Server>,
}

impl Database {
    /// Uses the database at the address, or starts an embedded one in memory; brings the schema in.
    pub(crate) async fn open(url: Option<String>) -> anyhow::Result<Self> {
        Self::open_with(url, &[]).await
    }

    /// The same; the options go to the embedded one.
    pub(crate) async fn open_with(url: Option<String>, options: &[&str]) -> anyhow::Result<Self> {
        let (url, server) = match url {
            Some(url) => (url, None),
            None => {
                let server = start_embedded(options).await?;
                (server.address.clone(), Some(server))
            }
        };
        let edition =
            db::migrate(&config(&url)?).await.with_context(|| "cannot bring the schema in")?;
        Ok(Self { url, edition, server })
    }

    /// What it is, for people.
    pub(crate) fn describe(&self) -> String {
        let kind = if self.server.is_some() { "embedded " } else { "" };
        format!(
            "{kind}TimescaleDB {} on PostgreSQL {}",
            self.edition.timescaledb, self.edition.postgres
        )
    }

    /// Ends the database where this command started it.
    pub(crate) async fn close(self) {
        if let Some(server) = self.server {
            server.stop().await;
        }
    }
}

/// An address as the services take it.
pub(crate) fn config(url: &str) -> anyhow::Result<DatabaseConfig> {
    Ok(DatabaseConfig {
        url: url.parse().with_context(|| "DATABASE_URL is not a postgres:// address")?,
    })
}

async fn start_embedded(options: &[&str]) -> anyhow::Result<Server> {
    programs::npm_ci("embedded-timescaledb").await?;
    let mut command = programs::command("node");
    command
        .args(["embedded-timescaledb/server.mjs", "--port", "0", "--memory", "--exit-with-stdin"])
        .args(options);
    Server::start("the embedded TimescaleDB", &mut command).await
}
