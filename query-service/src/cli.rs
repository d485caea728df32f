//! The command line of query-service.

use std::net::SocketAddr;

use clap::{Parser, Subcommand};
use shared::auth::KeysCommand;
use shared::config::LogConfig;

use crate::config::QueryConfig;

/// Answers questions about stored points over gRPC.
#[derive(Parser, Debug)]
#[command(name = "query-service", version, after_help = shared::config::telemetry_help())]
pub struct Cli {
    /// What to do instead of serving.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Address to listen on, an IP address and a port; port 0 picks a free one
    #[arg(long, env = "TIDEGAUGE_QUERY_LISTEN", help_heading = "Service", default_value = "127.0.0.1:50052", value_name = "ADDRESS:PORT",
          value_parser = shared::config::address)]
    pub listen: SocketAddr,
    /// Address of /livez, /readyz and /metrics, in plain HTTP without authentication; port 0 picks a free one
    #[arg(long, env = "TIDEGAUGE_HTTP_LISTEN", help_heading = "Service", default_value = "127.0.0.1:9465", value_name = "ADDRESS:PORT",
          value_parser = shared::config::address)]
    pub http_listen: SocketAddr,
    /// All that the service takes.
    #[command(flatten)]
    pub config: QueryConfig,
    /// What is logged.
    #[command(flatten)]
    pub log: LogConfig,
}

/// What to do instead of serving.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Make API keys for the file of identities, or check the file
    Keys {
        /// What to do.
        #[command(subcommand)]
        command: KeysCommand,
    },
}
