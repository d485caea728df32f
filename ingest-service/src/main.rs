//! The command line of ingest-service.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use ingest_service::config::IngestConfig;
use shared::config::{DatabaseConfig, LogConfig};
use shared::{db, http, process, server, shutdown};
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
    /// Address of /livez, /readyz and /metrics (plain HTTP, no TLS, no authentication); port 0 picks a free one
    #[arg(long, env = "TIDEGAUGE_HTTP_LISTEN", default_value = "127.0.0.1:9464", value_name = "HOST:PORT")]
    http_listen: SocketAddr,
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
    process::run("ingest-service", &cli.log, async {
        match cli.command {
            Some(Command::Migrate { wait }) => migrate(&cli.config.database, wait).await,
            None => serve(cli.listen, cli.http_listen, cli.config).await,
        }
    })
}

async fn serve(listen: SocketAddr, http_listen: SocketAddr, config: IngestConfig) -> anyhow::Result<()> {
    let shutdown = shutdown::on_signal()?;
    let listener = TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen}"))?;
    let http_listener = TcpListener::bind(http_listen).await;
    let http_listener =
        http_listener.with_context(|| format!("cannot listen on {http_listen} (TIDEGAUGE_HTTP_LISTEN)"))?;
    server::announce(&listener)?;
    http::announce(&http_listener)?;
    ingest_service::run(listener, http_listener, config, shutdown).await
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
