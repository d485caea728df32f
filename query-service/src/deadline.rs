//! The deadline of a call: the earlier of the client's deadline and this service's time limit. A
//! stream has only the former; its statements and its sends have time limits of their own.

use std::time::Duration;

use shared::deadline::parse_timeout;
use tokio::time::{Instant, timeout_at};
use tonic::Request;

use crate::error::QueryError;

/// How long before the client's deadline a call ends here, so that the status reaches the client in
/// time. `shared::deadline` enforces the same header but does not cancel SQL statements.
const MARGIN: Duration = Duration::from_millis(2);

/// The deadline of one call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline {
    /// The client's deadline, from the header `grpc-timeout`.
    client: Option<Instant>,
    /// Maximum time for a unary call, for one SQL statement, and for a client to read frames
    /// (`TIDEGAUGE_QUERY_TIMEOUT`).
    pub(crate) query_timeout: Duration,
}

impl Deadline {
    /// Returns the deadline of a call that has just arrived.
    pub(crate) fn of<T>(request: &Request<T>, query_timeout: Duration) -> Self {
        let header = request.metadata().get("grpc-timeout").and_then(|value| value.to_str().ok());
        let client = header
            .and_then(parse_timeout)
            .and_then(|left| Instant::now().checked_add(left.saturating_sub(MARGIN)));
        Self { client, query_timeout }
    }

    /// Runs `work` until the deadline, and drops it if it is not done by then.
    pub(crate) async fn bound<T>(
        self,
        work: impl Future<Output = Result<T, QueryError>>,
    ) -> Result<T, QueryError> {
        match tokio::time::timeout(self.query_timeout, self.bound_by_client(work)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(QueryError::TimedOut(self.query_timeout)),
        }
    }

    /// Runs `work` until the client's deadline only: a stream has no other time limit.
    pub(crate) async fn bound_by_client<T, E: From<QueryError>>(
        self,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let Some(client) = self.client else { return work.await };
        match timeout_at(client, work).await {
            Ok(outcome) => outcome,
            Err(_) => Err(QueryError::DeadlinePassed.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_earlier_of_the_two_ends_a_call() {
        let mut request = Request::new(());
        request.set_timeout(Duration::from_secs(10));
        let never = || std::future::pending::<Result<(), QueryError>>();
        let client_first = Deadline::of(&request, Duration::from_secs(30)).bound(never()).await;
        assert!(matches!(client_first, Err(QueryError::DeadlinePassed)));
        let service_first = Deadline::of(&request, Duration::from_secs(5)).bound(never()).await;
        assert!(matches!(service_first, Err(QueryError::TimedOut(_))));
        let no_header =
            Deadline::of(&Request::new(()), Duration::from_secs(5)).bound(never()).await;
        assert!(matches!(no_header, Err(QueryError::TimedOut(_))));
    }
}
