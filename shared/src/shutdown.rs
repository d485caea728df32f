//! Shutdown on signals: the first one starts a graceful shutdown, the second one exits at once.
//!
//! Every step of the shutdown has a time limit. With the default grace period for calls, the sum is
//! below the 30 s that supervisors wait before SIGKILL.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Maximum time after the last call for writing accepted points and closing database connections.
pub const FINISH: Duration = Duration::from_secs(3);
/// Maximum time for sending the last spans, and then again for the last metrics.
pub(crate) const TELEMETRY_TIMEOUT: Duration = Duration::from_millis(700);

/// Returns a token that SIGTERM or SIGINT cancels. A second signal exits the process with status
/// 130.
///
/// # Errors
/// The signal handlers cannot be installed.
pub fn on_signal() -> std::io::Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let token = CancellationToken::new();
    let cancelled = token.clone();
    tokio::spawn(async move {
        for count in 0.. {
            let name = tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            };
            if count > 0 {
                tracing::warn!(signal = name, "second signal: exiting at once");
                std::process::exit(130);
            }
            tracing::info!(signal = name, "shutting down");
            cancelled.cancel();
        }
    });
    Ok(token)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ServerConfig, defaults};

    #[test]
    fn all_that_is_waited_for_at_the_end_is_over_before_a_supervisor_kills() {
        let grace = defaults::<ServerConfig>(&[]).unwrap().shutdown_grace;
        assert!(grace + FINISH + 2 * TELEMETRY_TIMEOUT < Duration::from_millis(29_500));
    }
}
