//! Logging. Events go to standard error, so that what a command prints stays apart.

use std::io;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

use crate::config::{LogConfig, LogFormat};

/// Installs the process-wide logger.
///
/// # Errors
/// The levels cannot be parsed.
pub fn init(config: &LogConfig) -> Result<(), ParseError> {
    let builder =
        tracing_subscriber::fmt().with_env_filter(EnvFilter::try_new(&config.levels)?).with_writer(io::stderr);
    match config.format {
        LogFormat::Plain => builder.init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
    Ok(())
}
