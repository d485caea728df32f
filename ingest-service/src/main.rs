//! Starts ingest-service, or runs one of its subcommands.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use ingest_service::cli::{Cli, Command};
use ingest_service::config::IngestConfig;
use ingest_service::migration;
use shared::config::{self, DatabaseConfig};
use shared::db::{self, MigrateError};
use shared::{http, process, server, shutdown};

fn main() -> ExitCode {
    let (cli, settings) = config::parse::<Cli>();
    if let Some(Command::Keys { command }) = cli.command {
        return command.run_to_exit_code();
    }
    process::run("ingest-service", &cli.log, async {
        match cli.command {
            Some(Command::Migrate { wait }) => {
                migrate(&cli.config.database, wait).await?;
                check_settings(&cli.config).await
            }
            Some(Command::Keys { .. }) | None => {
                tracing::info!(%settings, "configuration");
                serve(cli.listen, cli.http_listen, cli.config).await
            }
        }
    })
}

async fn serve(
    listen: SocketAddr,
    http_listen: SocketAddr,
    config: IngestConfig,
) -> anyhow::Result<()> {
    let shutdown = shutdown::on_signal()?;
    let listener = server::listen(listen, &config.server).await?;
    let http_listener = http::listen(http_listen).await?;
    ingest_service::run(listener, http_listener, config, shutdown).await
}

/// Migrates the schema. Waits for the database for at most `wait`.
async fn migrate(database: &DatabaseConfig, wait: Duration) -> anyhow::Result<()> {
    let deadline = Instant::now() + wait;
    let waits = |error: &MigrateError| {
        let waits = Instant::now() < deadline;
        if waits {
            tracing::warn!("waiting for the database at {}: {error}", database.address());
        }
        waits
    };
    migration::migrate(database, waits)
        .await
        .with_context(|| format!("cannot migrate {}", database.address()))
}

/// Fails if settings of the database contradict those of this process. With such settings the
/// service would not become ready.
async fn check_settings(config: &IngestConfig) -> anyhow::Result<()> {
    let database = &config.database;
    let conflicts = db::history_conflicts(database, config.limits.oldest_accepted)
        .await
        .with_context(|| format!("cannot read the settings of {}", database.address()))?;
    let sentences: Vec<String> = conflicts.into_iter().map(|conflict| conflict.sentence).collect();
    anyhow::ensure!(sentences.is_empty(), "unsafe settings: {}", sentences.join("; "));
    Ok(())
}
