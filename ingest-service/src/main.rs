//! The command line of ingest-service.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use ingest_service::config::IngestConfig;
use shared::config::{DatabaseConfig, LogConfig};
use shared::{db, server, shutdown, telemetry};
use tokio::net::TcpListener;

/// Takes points over gRPC and writes them to TimescaleDB exactly once.
#[derive(Parser)]
#[command(name = "ingest-service", version)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    /// Address to listen on; port 0 picks a free one
    #[arg(long, env = "TIDEGAUGE_INGEST_LISTEN", default_value = "127.0.0.1:50051", value_name = "HOST:PORT")]
    listen: SocketAddr,
    #[command(flatten)]
    config: IngestConfig,
    #[command(flatten)]
    log: LogConfig,
}

#[derive(Subcommand)]
enum Command {
    /// Bring the schema into the database and exit
    Migrate {
        /// How long to wait for a database that is away
        #[arg(long, default_value = "0s", value_parser = humantime::parse_duration)]
        wait: Duration,
    },
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = telemetry::init(&cli.log).context("TIDEGAUGE_LOG").and_then(|()| {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(async {
            match cli.command {
                Some(Command::Migrate { wait }) => migrate(&cli.config.database, wait).await,
                None => serve(cli.listen, cli.config).await,
            }
        })
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(listen: SocketAddr, config: IngestConfig) -> anyhow::Result<()> {
    let shutdown = shutdown::on_signal()?;
    let listener = TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen}"))?;
    server::announce(&listener)?;
    ingest_service::run(listener, config, shutdown).await
}

async fn migrate(database: &DatabaseConfig, wait: Duration) -> anyhow::Result<()> {
    let deadline = Instant::now() + wait;
    loop {
        match db::migrate(database).await {
            Ok(edition) => {
                tracing::info!(timescaledb = edition.timescaledb, postgres = edition.postgres, "schema is up to date");
                return Ok(());
            }
            Err(error) if error.is_unavailable() && Instant::now() < deadline => {
                tracing::warn!("waiting for the database at {}: {error}", database.address());
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            Err(error) => return Err(error).with_context(|| format!("cannot migrate {}", database.address())),
        }
    }
}
