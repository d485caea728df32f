//! Configuration of query-service.
//!
//! Variables: `TIDEGAUGE_DATABASE_CONNECTIONS`, and those of `shared::config`.

use std::num::NonZeroU32;

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
    pub database_connections: NonZeroU32,
}
