//! Configuration of the log.

use clap::{Args, ValueEnum};
use tracing_subscriber::EnvFilter;

/// Levels and format of the log.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Log")]
pub struct LogConfig {
    /// Log levels: error, warn, info, debug or trace; also per module, such as info,sqlx=warn
    #[arg(
        long = "log",
        env = "TIDEGAUGE_LOG",
        default_value = "info",
        value_name = "LEVELS",
        value_parser = levels
    )]
    pub levels: String,
    /// Format of log lines
    #[arg(
        long = "log-format",
        env = "TIDEGAUGE_LOG_FORMAT",
        value_enum,
        default_value_t = LogFormat::Plain
    )]
    pub format: LogFormat,
}

/// Format of log lines.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Plain text.
    Plain,
    /// One JSON object per line.
    Json,
}

fn levels(text: &str) -> Result<String, String> {
    match EnvFilter::try_new(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(format!("expected log levels such as info or info,sqlx=warn ({error})")),
    }
}
