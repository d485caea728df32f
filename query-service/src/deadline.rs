//! When a call ends at the latest: the client's own deadline, and the longest time that this service gives it.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use tonic::Request;

use crate::error::QueryError;

/// The answer must be there before the client's own clock gives up. tonic watches the same header for the response, and
/// would say CANCELLED.
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
        let client = header.and_then(parse).and_then(|left| Instant::now().checked_add(left.saturating_sub(MARGIN)));
        Self { client, longest }
    }

    /// Works until the deadline; what is not done by then is dropped.
    pub(crate) async fn bound<T>(self, work: impl Future<Output = Result<T, QueryError>>) -> Result<T, QueryError> {
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

/// At most eight digits and a unit, as the gRPC protocol has it; anything else counts as no deadline.
fn parse(header: &str) -> Option<Duration> {
    let (digits, unit) = header.split_at_checked(header.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(number * 3_600)),
        "M" => Some(Duration::from_secs(number * 60)),
        "S" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_millis(number)),
        "u" => Some(Duration::from_micros(number)),
        "n" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_read_as_the_protocol_has_it() {
        assert_eq!(parse("99999999H"), Some(Duration::from_secs(99_999_999 * 3_600)));
        assert_eq!(parse("2M"), Some(Duration::from_secs(120)));
        assert_eq!(parse("1S"), Some(Duration::from_secs(1)));
        assert_eq!(parse("250m"), Some(Duration::from_millis(250)));
        assert_eq!(parse("7u"), Some(Duration::from_micros(7)));
        assert_eq!(parse("7n"), Some(Duration::from_nanos(7)));
        for wrong in ["", "S", "1", "123456789S", "-1S", "+1S", "1.5S", "1s", "1µ"] {
            assert_eq!(parse(wrong), None, "{wrong:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_earlier_of_the_two_ends_a_call() {
        let mut request = Request::new(());
        request.set_timeout(Duration::from_secs(10));
        let never = || std::future::pending::<Result<(), QueryError>>();
        let client_first = Deadline::of(&request, Duration::from_secs(30)).bound(never()).await;
        assert!(matches!(client_first, Err(QueryError::DeadlinePassed)));
        let service_first = Deadline::of(&request, Duration::from_secs(5)).bound(never()).await;
        assert!(matches!(service_first, Err(QueryError::TooLong(_))));
        let no_header = Deadline::of(&Request::new(()), Duration::from_secs(5)).bound(never()).await;
        assert!(matches!(no_header, Err(QueryError::TooLong(_))));
    }
}
