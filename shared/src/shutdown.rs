//! Turns signals into a cancellation: the first asks to finish, the second ends at once. What happens in between has a bound
//! each; with the default grace for calls their sum stays below the 30 s that supervisors wait.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// How long may be spent, after the last call, on what was taken in: writing it, and giving connections back.
pub const FINISH: Duration = Duration::from_secs(3);
/// How long the last spans may take to leave, and after them the last metrics.
pub(crate) const TELL: Duration = Duration::from_millis(700);

/// A token that SIGTERM or SIGINT cancels. A second signal ends the process with status 130.
///
/// # Errors
/// The handlers cannot be installed.
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
                tracing::warn!(signal = name, "second signal: ending at once");
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
        assert!(grace + FINISH + 2 * TELL < Duration::from_millis(29_500));
    }
}
