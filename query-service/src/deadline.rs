//! When a call ends at the latest: the client's own deadline, and the longest time that this service gives it.

use std::time::Duration;

use shared::deadline::parse_timeout;
use tokio::time::{Instant, timeout_at};
use tonic::Request;

use crate::error::QueryError;

/// The answer must be there before the client's own clock gives up. `shared::deadline` watches the same header, but knows nothing
/// of statements that are to be given up.
const MARGIN: Duration = Duration::from_millis(2);

/// When a call ends at the latest.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline {
    /// From the header `grpc-timeout`.
    client: Option<Instant>,
    /// Longest time for a unary answer, for a statement, and for a client to take a frame.
    pub(crate) longest: Duration,
}

impl Deadline {
    /// The deadline of a call that has just arrived.
    pub(crate) fn of<T>(request: &Request<T>, longest: Duration) -> Self {
        let header = request.metadata().get("grpc-timeout").and_then(|value| value.to_str().ok());
        let client = header
            .and_then(parse_timeout)
            .and_then(|left| Instant::now().checked_add(left.saturating_sub(MARGIN)));
        Self { client, longest }
    }

    /// Works until the deadline; what is not done by then is dropped.
    pub(crate) async fn bound<T>(
        self,
        work: impl Future<Output = Result<T, QueryError>>,
    ) -> Result<T, QueryError> {
        match tokio::time::timeout(self.longest, self.bound_by_client(work)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(QueryError::TooLong(self.longest)),
        }
    }

    /// The same for a stream, which may take as long as its client has time.
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
        assert!(matches!(service_first, Err(QueryError::TooLong(_))));
        let no_header =
            Deadline::of(&Request::new(()), Duration::from_secs(5)).bound(never()).await;
        assert!(matches!(no_header, Err(QueryError::TooLong(_))));
    }
}
