//! The command line of ingest-service.

use std::net::SocketAddr;
use std::time::Duration;

use clap::{Parser, Subcommand};
use shared::auth::KeysCommand;
use shared::config::LogConfig;

use crate::config::IngestConfig;

/// Takes points over gRPC and writes them to TimescaleDB exactly once.
#[derive(Parser, Debug)]
#[command(name = "ingest-service", version, after_help = shared::config::telemetry_help())]
pub struct Cli {
    /// What to do instead of serving.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Address to listen on, an IP address and a port; port 0 picks a free one
    #[arg(long, env = "TIDEGAUGE_INGEST_LISTEN", help_heading = "Service", default_value = "127.0.0.1:50051", value_name = "ADDRESS:PORT",
          value_parser = shared::config::address)]
    pub listen: SocketAddr,
    /// Address of /livez, /readyz and /metrics, in plain HTTP without authentication; port 0 picks a free one
    #[arg(long, env = "TIDEGAUGE_HTTP_LISTEN", help_heading = "Service", default_value = "127.0.0.1:9464", value_name = "ADDRESS:PORT",
          value_parser = shared::config::address)]
    pub http_listen: SocketAddr,
    /// All that the service takes.
    #[command(flatten)]
    pub config: IngestConfig,
    /// What is logged.
    #[command(flatten)]
    pub log: LogConfig,
}

/// What to do instead of serving.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Bring the schema into the database and exit
    Migrate {
        /// How long to wait for a database that is away
        #[arg(long, default_value = "0s", value_name = "DURATION", value_parser = humantime::parse_duration)]
        wait: Duration,
    },
    /// Make API keys for the file of identities, or check the file
    Keys {
        /// What to do.
        #[command(subcommand)]
        command: KeysCommand,
    },
}
