//! What is logged, and how.

use clap::{Args, ValueEnum};
use tracing_subscriber::EnvFilter;

/// What is logged, and how.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Log")]
pub struct LogConfig {
    /// Levels: error, warn, info, debug, trace; also per module, such as info,sqlx=warn
    #[arg(long = "log", env = "TIDEGAUGE_LOG", default_value = "info", value_name = "LEVELS", value_parser = levels)]
    pub levels: String,
    /// Form of a line, for people or for collectors
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

fn levels(text: &str) -> Result<String, String> {
    match EnvFilter::try_new(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(format!("levels are accepted, such as info or info,sqlx=warn ({error})")),
    }
}
