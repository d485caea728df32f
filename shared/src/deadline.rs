//! The deadline of a call, from the header `grpc-timeout`. When it passes, the call ends with
//! DEADLINE_EXCEEDED.
//!
//! tonic's own server handles this header outside of any middleware and answers CANCELLED. That is
//! why [`crate::server`] serves connections without it.

use std::time::Duration;

use http::{HeaderMap, Request};
use tokio::time::Instant;
use tonic::Status;
use tonic::body::Body;

use crate::around::{Answer, Around};
use crate::ended_by::EndedBy;
use crate::status;

const HEADER: &str = "grpc-timeout";

/// Parses a value of `grpc-timeout`: at most eight digits and a unit, as in the gRPC protocol.
#[must_use]
pub fn parse_timeout(value: &str) -> Option<Duration> {
    let (digits, unit) = value.split_at_checked(value.len().checked_sub(1)?)?;
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

/// Returns the timeout in the request headers, or `None` if the caller sets none.
fn timeout(headers: &HeaderMap) -> Result<Option<Duration>, Status> {
    let Some(value) = headers.get(HEADER) else { return Ok(None) };
    let text = String::from_utf8_lossy(value.as_bytes());
    parse_timeout(&text).map(Some).ok_or_else(|| {
        let sentence =
            format!("is {text:?}; expected 1 to 8 digits followed by H, M, S, m, u or n");
        status::invalid_argument(HEADER, sentence)
    })
}

/// The middleware that ends calls at their deadlines.
#[derive(Clone, Debug)]
pub(crate) struct Deadlines;

impl Around for Deadlines {
    fn call(&self, request: Request<Body>, inside: impl FnOnce(Request<Body>) -> Answer) -> Answer {
        let timeout = match timeout(request.headers()) {
            Ok(Some(timeout)) => timeout,
            Ok(None) => return inside(request),
            Err(status) => return Box::pin(std::future::ready(Ok(status.into_http()))),
        };
        let Some(deadline) = Instant::now().checked_add(timeout) else { return inside(request) };
        let passed = move || passed(deadline, timeout);
        // A handler may outlive its call. Ending its request body keeps it from waiting for
        // messages that nobody sends any more.
        let answer = inside(request.map(|body| EndedBy::request(body, passed())));
        Box::pin(async move {
            tokio::select! {
                biased; // prefer an answer that is ready at the deadline
                answer = answer => Ok(answer?.map(|body| EndedBy::response(body, passed()))),
                status = passed() => Ok(status.into_http()),
            }
        })
    }
}

/// Waits until the deadline and returns the status that ends the call.
async fn passed(deadline: Instant, timeout: Duration) -> Status {
    tokio::time::sleep_until(deadline).await;
    let timeout = humantime::format_duration(timeout);
    status::deadline_exceeded(format!("the deadline of the call has passed ({HEADER}: {timeout})"))
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt as _, StreamBody};
    use hyper::body::Frame;
    use tonic::Code;

    use super::*;

    #[test]
    fn the_header_is_read_as_the_protocol_has_it() {
        assert_eq!(parse_timeout("99999999H"), Some(Duration::from_secs(99_999_999 * 3_600)));
        assert_eq!(parse_timeout("2M"), Some(Duration::from_secs(120)));
        assert_eq!(parse_timeout("1S"), Some(Duration::from_secs(1)));
        assert_eq!(parse_timeout("250m"), Some(Duration::from_millis(250)));
        assert_eq!(parse_timeout("7u"), Some(Duration::from_micros(7)));
        assert_eq!(parse_timeout("7n"), Some(Duration::from_nanos(7)));
        for wrong in ["", "S", "1", "123456789S", "-1S", "+1S", "1.5S", "1s", "1µ"] {
            assert_eq!(parse_timeout(wrong), None, "{wrong:?}");
        }
    }

    fn request(timeout: &str) -> Request<Body> {
        Request::builder().header(HEADER, timeout).body(Body::empty()).unwrap()
    }

    fn code(headers: &HeaderMap) -> Code {
        Code::from_bytes(headers[Status::GRPC_STATUS].as_bytes())
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_is_not_answered_by_its_deadline_is_told_so() {
        let began = Instant::now();
        let never: Answer = Box::pin(std::future::pending());
        let answer = Deadlines.call(request("250m"), |_| never).await.unwrap();
        assert_eq!(
            (code(answer.headers()), began.elapsed().as_millis()),
            (Code::DeadlineExceeded, 250)
        );
        let message = answer.headers()["grpc-message"].to_str().unwrap().replace("%20", " ");
        assert_eq!(message, "the deadline of the call has passed (grpc-timeout: 250ms)");
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_still_streams_at_the_deadline_ends_there() {
        let endless =
            StreamBody::new(tokio_stream::pending::<Result<Frame<bytes::Bytes>, Status>>());
        let answer: Answer =
            Box::pin(std::future::ready(Ok(http::Response::new(Body::new(endless)))));
        let answer = Deadlines.call(request("3S"), |_| answer).await.unwrap();
        let trailers = answer.into_body().collect().await.unwrap().trailers().cloned().unwrap();
        assert_eq!(code(&trailers), Code::DeadlineExceeded);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_is_still_read_at_the_deadline_ends_there() {
        let endless =
            StreamBody::new(tokio_stream::pending::<Result<Frame<bytes::Bytes>, Status>>());
        let request = request("3S").map(|_| Body::new(endless));
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let inside = |request: Request<Body>| -> Answer {
            tokio::spawn(
                async move { sender.send(request.into_body().collect().await.unwrap_err()) },
            );
            Box::pin(std::future::pending())
        };
        drop(Deadlines.call(request, inside).await);
        assert_eq!(receiver.await.unwrap().code(), Code::DeadlineExceeded);
    }

    #[tokio::test]
    async fn a_deadline_that_cannot_be_read_is_refused() {
        let never: Answer = Box::pin(std::future::pending());
        let answer = Deadlines.call(request("82f"), |_| never).await.unwrap();
        assert_eq!(code(answer.headers()), Code::InvalidArgument);
    }
}
