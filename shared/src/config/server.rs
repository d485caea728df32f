//! How calls are served.

use std::time::Duration;

use clap::Args;

use super::values;

/// How calls are served.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Serving")]
pub struct ServerConfig {
    /// Largest message taken, in bytes after decompression
    #[arg(long, env = "TIDEGAUGE_MAX_MESSAGE_BYTES", default_value = "4194304", value_name = "BYTES",
          value_parser = values::bytes)]
    pub max_message_bytes: usize,
    /// How long calls under way may take to end after SIGTERM; must be shorter than what the supervisor waits before it kills
    #[arg(long, env = "TIDEGAUGE_SHUTDOWN_GRACE", default_value = "25s", value_name = "DURATION",
          value_parser = values::duration)]
    pub shutdown_grace: Duration,
}
