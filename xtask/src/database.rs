//! The TimescaleDB that a command uses: an existing one, or an embedded one that it starts.

use anyhow::Context as _;
use shared::config::DatabaseConfig;
use shared::db::{self, Edition};

use crate::programs::{self, ServerProcess};

/// A database with Tidegauge's schema.
pub(crate) struct Database {
    pub(crate) url: String,
    pub(crate) edition: Edition,
    /// The embedded server, if this command started one.
    server: Option<ServerProcess>,
}

impl Database {
    /// Connects to the database at `url`, or starts an embedded one in memory. Creates the schema.
    pub(crate) async fn open(url: Option<String>) -> anyhow::Result<Self> {
        Self::open_with(url, &[]).await
    }

    /// Does the same as [`Self::open`]. `options` are passed to an embedded server only.
    pub(crate) async fn open_with(url: Option<String>, options: &[&str]) -> anyhow::Result<Self> {
        let (url, server) = match url {
            Some(url) => (url, None),
            None => {
                let server = start_embedded(options).await?;
                (server.address.clone(), Some(server))
            }
        };
        let edition = db::migrate(&config(&url)?).await.context("cannot create the schema")?;
        Ok(Self { url, edition, server })
    }

    /// Returns whether this command started the database.
    pub(crate) fn is_embedded(&self) -> bool {
        self.server.is_some()
    }

    /// Returns the versions of TimescaleDB and PostgreSQL as text for people.
    pub(crate) fn describe(&self) -> String {
        let kind = if self.is_embedded() { "embedded " } else { "" };
        format!(
            "{kind}TimescaleDB {} on PostgreSQL {}",
            self.edition.timescaledb, self.edition.postgres
        )
    }

    /// Stops the database if this command started it.
    pub(crate) async fn close(self) {
        if let Some(server) = self.server {
            server.stop().await;
        }
    }
}

/// Parses a URL into the configuration that the services use.
pub(crate) fn config(url: &str) -> anyhow::Result<DatabaseConfig> {
    Ok(DatabaseConfig {
        url: url
            .parse()
            .context("--database-url or DATABASE_URL is not a valid postgres:// URL")?,
    })
}

async fn start_embedded(options: &[&str]) -> anyhow::Result<ServerProcess> {
    programs::npm_ci("embedded-timescaledb").await?;
    let mut command = programs::command("node");
    command
        .args(["embedded-timescaledb/server.mjs", "--port", "0", "--memory", "--exit-with-stdin"])
        .args(options);
    ServerProcess::start("the embedded TimescaleDB", &mut command).await
}
