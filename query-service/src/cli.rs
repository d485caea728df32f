//! The command line of query-service.

use std::net::SocketAddr;

use clap::{Parser, Subcommand};
use shared::auth::KeysCommand;
use shared::config::LogConfig;

use crate::config::QueryConfig;

/// Serves queries over stored points as a gRPC service.
#[derive(Parser, Debug)]
#[command(name = "query-service", version, after_help = shared::config::telemetry_help())]
pub struct Cli {
    /// The command to run instead of the service.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// IP address and port to listen on; port 0 picks a free port
    #[arg(
        long,
        env = "TIDEGAUGE_QUERY_LISTEN",
        help_heading = "Service",
        default_value = "127.0.0.1:50052",
        value_name = "ADDRESS:PORT",
        value_parser = shared::config::address
    )]
    pub listen: SocketAddr,
    /// IP address and port of /livez, /readyz and /metrics, over plain HTTP without authentication;
    /// port 0 picks a free port
    #[arg(
        long,
        env = "TIDEGAUGE_HTTP_LISTEN",
        help_heading = "Service",
        default_value = "127.0.0.1:9465",
        value_name = "ADDRESS:PORT",
        value_parser = shared::config::address
    )]
    pub http_listen: SocketAddr,
    /// Configuration of the service.
    #[command(flatten)]
    pub config: QueryConfig,
    /// Log level and format.
    #[command(flatten)]
    pub log: LogConfig,
}

/// A command that runs instead of the service.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Create API keys for the identities file, or check the file
    Keys {
        /// The action on keys.
        #[command(subcommand)]
        command: KeysCommand,
    },
}
