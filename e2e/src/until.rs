//! Waiting for conditions.

use std::time::Duration;

/// Time limit for a condition.
const PATIENCE: Duration = Duration::from_secs(60);

/// Calls `look` repeatedly until it returns a value.
///
/// # Panics
/// Panics if that takes longer than a minute.
pub async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let found = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, found)
        .await
        .unwrap_or_else(|_| panic!("not within {PATIENCE:?}: {what}"))
}
