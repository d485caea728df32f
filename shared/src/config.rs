//! Configuration that both services take, one small struct per concern.
//!
//! Variables: `DATABASE_URL`, `TIDEGAUGE_LOG`, `TIDEGAUGE_LOG_FORMAT`, `TIDEGAUGE_MAX_MESSAGE_BYTES`,
//! `TIDEGAUGE_SHUTDOWN_GRACE`.

use std::fmt;
use std::time::Duration;

use clap::{Args, ValueEnum};
use sqlx::postgres::PgConnectOptions;

/// Which database.
#[derive(Args, Clone)]
pub struct DatabaseConfig {
    /// TimescaleDB to use, as postgres://USER:PASSWORD@HOST:PORT/NAME
    #[arg(
        long = "database-url",
        env = "DATABASE_URL",
        hide_env_values = true,
        value_name = "URL",
        global = true,
        default_value = "postgres://postgres@127.0.0.1:5432/tidegauge"
    )]
    pub url: PgConnectOptions,
}

impl fmt::Debug for DatabaseConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.address())
    }
}

impl DatabaseConfig {
    /// Host, port and name, without the password: for logs.
    #[must_use]
    pub fn address(&self) -> String {
        format!("{}:{}/{}", self.url.get_host(), self.url.get_port(), self.url.get_database().unwrap_or("postgres"))
    }
}

/// What is logged, and how.
#[derive(Args, Clone, Debug)]
pub struct LogConfig {
    /// Levels: error, warn, info, debug, trace, also per module (info,sqlx=warn)
    #[arg(long = "log", env = "TIDEGAUGE_LOG", default_value = "info", value_name = "LEVELS")]
    pub levels: String,
    /// Form of a line
    #[arg(long = "log-format", env = "TIDEGAUGE_LOG_FORMAT", value_enum, default_value_t = LogFormat::Plain)]
    pub format: LogFormat,
}

/// Form of a log line.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Plain,
    /// One JSON object a line, for collectors.
    Json,
}

/// How calls are served.
#[derive(Args, Clone, Debug)]
pub struct ServerConfig {
    /// Largest message taken, in bytes after decompression
    #[arg(long, env = "TIDEGAUGE_MAX_MESSAGE_BYTES", default_value_t = 4 * 1024 * 1024, value_name = "BYTES")]
    pub max_message_bytes: usize,
    /// How long calls under way may take to end after SIGTERM
    #[arg(long, env = "TIDEGAUGE_SHUTDOWN_GRACE", default_value = "25s", value_parser = humantime::parse_duration)]
    pub shutdown_grace: Duration,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self { max_message_bytes: 4 * 1024 * 1024, shutdown_grace: Duration::from_secs(25) }
    }
}
