//! The configuration of query-service. The settings that both services have are in
//! `shared::config`.

use std::num::NonZeroUsize;
use std::time::Duration;

use clap::Args;
use shared::config::{DatabaseConfig, ServerConfig, count, duration};

/// The configuration that `run` takes.
#[derive(Args, Clone, Debug)]
pub struct QueryConfig {
    /// Connection to the database.
    #[command(flatten)]
    pub database: DatabaseConfig,
    /// The gRPC server.
    #[command(flatten)]
    pub server: ServerConfig,
    /// Maximum number of connections to the database
    #[arg(
        long,
        env = "TIDEGAUGE_DATABASE_CONNECTIONS",
        help_heading = "Service",
        default_value = "8",
        value_name = "NUMBER",
        value_parser = count
    )]
    pub database_connections: NonZeroUsize,
    /// Maximum time for a unary call, for one SQL statement, and for a client to read the next part
    /// of a stream
    #[arg(
        long,
        env = "TIDEGAUGE_QUERY_TIMEOUT",
        help_heading = "Service",
        default_value = "30s",
        value_name = "DURATION",
        value_parser = duration
    )]
    pub query_timeout: Duration,
    /// Time between two checks of a WatchAnomalies subscription for new points
    #[arg(
        long,
        env = "TIDEGAUGE_WATCH_INTERVAL",
        help_heading = "Service",
        default_value = "1s",
        value_name = "DURATION",
        value_parser = duration
    )]
    pub watch_interval: Duration,
    /// Maximum number of concurrent WatchAnomalies subscriptions
    #[arg(
        long,
        env = "TIDEGAUGE_WATCH_SUBSCRIPTIONS",
        help_heading = "Service",
        default_value = "100",
        value_name = "NUMBER",
        value_parser = count
    )]
    pub watch_subscriptions: NonZeroUsize,
}
