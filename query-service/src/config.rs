//! Configuration of query-service; what both services take is in `shared::config`.

use std::num::NonZeroUsize;
use std::time::Duration;

use clap::Args;
use shared::config::{DatabaseConfig, ServerConfig, count, duration};

/// Everything that `run` needs.
#[derive(Args, Clone, Debug)]
pub struct QueryConfig {
    /// Which database.
    #[command(flatten)]
    pub database: DatabaseConfig,
    /// How calls are served.
    #[command(flatten)]
    pub server: ServerConfig,
    /// Most connections to the database
    #[arg(long, env = "TIDEGAUGE_DATABASE_CONNECTIONS", help_heading = "Service", default_value = "8", value_name = "NUMBER",
          value_parser = count)]
    pub database_connections: NonZeroUsize,
    /// Longest time for a unary answer, for a statement, and for a client to take a frame of a stream
    #[arg(long, env = "TIDEGAUGE_QUERY_TIMEOUT", help_heading = "Service", default_value = "30s", value_name = "DURATION",
          value_parser = duration)]
    pub query_timeout: Duration,
    /// How often a WatchAnomalies subscription looks for new points
    #[arg(long, env = "TIDEGAUGE_WATCH_INTERVAL", help_heading = "Service", default_value = "1s", value_name = "DURATION",
          value_parser = duration)]
    pub watch_interval: Duration,
    /// Most WatchAnomalies subscriptions at once
    #[arg(long, env = "TIDEGAUGE_WATCH_SUBSCRIPTIONS", help_heading = "Service", default_value = "100", value_name = "NUMBER",
          value_parser = count)]
    pub watch_subscriptions: NonZeroUsize,
}
