//! The command line of ingest-service.

use std::net::SocketAddr;
use std::time::Duration;

use clap::{Parser, Subcommand};
use shared::auth::KeysCommand;
use shared::config::LogConfig;

use crate::config::IngestConfig;

/// Receives points over gRPC and writes them to TimescaleDB exactly once.
#[derive(Parser, Debug)]
#[command(name = "ingest-service", version, after_help = shared::config::telemetry_help())]
pub struct Cli {
    /// Subcommand to run instead of serving.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Address to listen on, an IP address and a port; port 0 picks a free one
    #[arg(
        long,
        env = "TIDEGAUGE_INGEST_LISTEN",
        help_heading = "Service",
        default_value = "127.0.0.1:50051",
        value_name = "ADDRESS:PORT",
        value_parser = shared::config::address
    )]
    pub listen: SocketAddr,
    /// Address of /livez, /readyz and /metrics, in plain HTTP without authentication; port 0 picks
    /// a free one
    #[arg(
        long,
        env = "TIDEGAUGE_HTTP_LISTEN",
        help_heading = "Service",
        default_value = "127.0.0.1:9464",
        value_name = "ADDRESS:PORT",
        value_parser = shared::config::address
    )]
    pub http_listen: SocketAddr,
    /// Settings of the service.
    #[command(flatten)]
    pub config: IngestConfig,
    /// Settings of the log.
    #[command(flatten)]
    pub log: LogConfig,
}

/// Subcommands, which run instead of serving.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Migrate the schema of the database and exit
    Migrate {
        /// How long to wait while the database is unavailable
        #[arg(
            long,
            default_value = "0s",
            value_name = "DURATION",
            value_parser = humantime::parse_duration
        )]
        wait: Duration,
    },
    /// Create API keys for the identities file, or check the file
    Keys {
        /// Operation on the keys.
        #[command(subcommand)]
        command: KeysCommand,
    },
}
