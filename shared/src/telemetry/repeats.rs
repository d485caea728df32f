//! Rate limiting of log events: the first one is logged, and repetitions in the next ten seconds
//! are only counted.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

const WINDOW: Duration = Duration::from_secs(10);

/// A rate limiter for one kind of log event. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Repeats {
    /// Name of the kind, used when the count is logged.
    what: &'static str,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    logged: Option<Instant>,
    held_back: u64,
}

impl Repeats {
    /// Creates a rate limiter. `what` names the kind of event in the log.
    #[must_use]
    pub fn new(what: &'static str) -> Self {
        Self { what, state: Arc::default() }
    }

    /// Calls the function to log an event, or only counts the event. The count is logged once, when
    /// the ten seconds are over. Must be called inside the runtime.
    pub fn log(&self, log: impl FnOnce()) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.logged.is_some_and(|logged| logged.elapsed() < WINDOW) {
            state.held_back += 1;
            if state.held_back == 1 {
                tokio::spawn(self.clone().count());
            }
            return;
        }
        state.logged = Some(Instant::now());
        drop(state);
        log();
    }

    async fn count(self) {
        tokio::time::sleep(WINDOW).await;
        let more = std::mem::take(
            &mut self.state.lock().unwrap_or_else(PoisonError::into_inner).held_back,
        );
        tracing::warn!(more, "{}: {more} more in the last {} s", self.what, WINDOW.as_secs());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_first_is_logged_and_the_rest_of_ten_seconds_is_counted() {
        let repeats = Repeats::new("refusals");
        let mut logged = 0;
        for _ in 0..100 {
            repeats.log(|| logged += 1);
        }
        assert_eq!((logged, repeats.state.lock().unwrap().held_back), (1, 99));
        tokio::time::sleep(WINDOW + Duration::from_secs(1)).await;
        assert_eq!(repeats.state.lock().unwrap().held_back, 0, "the count was logged");
        repeats.log(|| logged += 1);
        assert_eq!(logged, 2);
    }
}
