//! Configuration of query-service.
//!
//! Variables: `TIDEGAUGE_DATABASE_CONNECTIONS`, `TIDEGAUGE_QUERY_TIMEOUT`, `TIDEGAUGE_WATCH_INTERVAL`,
//! `TIDEGAUGE_WATCH_SUBSCRIPTIONS`, and those of `shared::config`.

use std::num::NonZeroUsize;
use std::time::Duration;

use clap::Args;
use shared::config::{DatabaseConfig, ServerConfig};

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
    #[arg(long, env = "TIDEGAUGE_DATABASE_CONNECTIONS", default_value = "8")]
    pub database_connections: NonZeroUsize,
    /// Longest time for a unary answer, for a statement, and for a client to take a frame of a stream
    #[arg(long, env = "TIDEGAUGE_QUERY_TIMEOUT", default_value = "30s", value_parser = humantime::parse_duration)]
    pub query_timeout: Duration,
    /// How often a subscription looks for new points
    #[arg(long, env = "TIDEGAUGE_WATCH_INTERVAL", default_value = "1s", value_parser = humantime::parse_duration)]
    pub watch_interval: Duration,
    /// Most subscriptions at once
    #[arg(long, env = "TIDEGAUGE_WATCH_SUBSCRIPTIONS", default_value = "100")]
    pub watch_subscriptions: NonZeroUsize,
}
