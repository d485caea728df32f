//! Statuses with the details that the contract promises. No text of the database reaches a client through them.
//!
//! Every status that a service makes is made here, and marked; the lint `disallowed_methods` (`clippy.toml`) sees to that. What
//! reaches a client without the mark was made by a library, and [`library`] says what becomes of it.

mod layer;
mod library;

use std::collections::HashMap;
use std::time::Duration;

use http::HeaderMap;
use tonic::metadata::MetadataValue;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

pub(crate) use layer::Statuses;

/// How long a client is asked to wait, where nothing says more exactly when there is room again.
pub(crate) const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Names this system in `ErrorInfo.domain`.
pub const ERROR_DOMAIN: &str = "tidegauge";
/// Metadata of the statuses that are made here; taken away before a client sees it.
const MARK: &str = "tidegauge-own-status";

/// Marks a status as made by a service.
fn own(mut status: Status) -> Status {
    status.metadata_mut().insert(MARK, MetadataValue::from_static("1"));
    status
}

/// Takes the mark away; returns whether it was there.
fn unmark(headers: &mut HeaderMap) -> bool {
    headers.remove(MARK).is_some()
}

/// A status with details, made by a service.
#[allow(clippy::disallowed_methods)] // this is where they are made
pub(crate) fn with_details(
    code: Code,
    sentence: impl Into<String>,
    details: ErrorDetails,
) -> Status {
    own(Status::with_error_details(code, sentence, details))
}

/// A status without details, made by a service.
#[allow(clippy::disallowed_methods)]
fn plain(code: Code, sentence: impl Into<String>) -> Status {
    own(Status::new(code, sentence))
}

/// The request can never succeed: names the field and says what is accepted.
pub fn invalid_argument(field: &str, sentence: impl Into<String>) -> Status {
    let sentence = sentence.into();
    let details = ErrorDetails::with_bad_request_violation(field, sentence.clone());
    with_details(Code::InvalidArgument, format!("{field}: {sentence}"), details)
}

/// What was named does not exist.
pub fn not_found(kind: &str, name: &str) -> Status {
    let sentence = format!("{kind} {name:?} does not exist");
    let details = ErrorDetails::with_resource_info(kind, name, "", sentence.clone());
    with_details(Code::NotFound, sentence, details)
}

/// Not now; the same request may succeed after a while.
pub fn unavailable(sentence: impl Into<String>) -> Status {
    with_details(Code::Unavailable, sentence, ErrorDetails::with_retry_info(Some(RETRY_AFTER)))
}

/// Over a limit that no retry changes.
pub fn too_large(sentence: impl Into<String>) -> Status {
    plain(Code::ResourceExhausted, sentence)
}

/// Over a limit of what is served at once: the same request may succeed after the delay.
pub fn too_many(sentence: impl Into<String>, retry_after: Duration) -> Status {
    with_details(
        Code::ResourceExhausted,
        sentence,
        ErrorDetails::with_retry_info(Some(retry_after)),
    )
}

/// The state of the system forbids it: a reason in capitals and what a program needs to go on.
pub fn failed_precondition(
    reason: &str,
    metadata: HashMap<String, String>,
    sentence: impl Into<String>,
) -> Status {
    let details = ErrorDetails::with_error_info(reason, ERROR_DOMAIN, metadata);
    with_details(Code::FailedPrecondition, sentence, details)
}

/// Adds metadata to the `ErrorInfo` of a status and appends to its message. A status without `ErrorInfo` gets the reason.
#[must_use]
pub fn with_metadata(
    status: &Status,
    reason: &str,
    metadata: [(&str, String); 2],
    appended: &str,
) -> Status {
    let mut details = status.get_error_details();
    let (reason, mut all) = match details.error_info() {
        Some(info) => (info.reason.clone(), info.metadata.clone()),
        None => (reason.to_owned(), HashMap::new()),
    };
    all.extend(metadata.map(|(key, value)| (key.to_owned(), value)));
    details.set_error_info(reason, ERROR_DOMAIN, all);
    with_details(status.code(), format!("{}{appended}", status.message()), details)
}

/// The caller is known, but may not: a reason in capitals.
pub fn permission_denied(reason: &str, sentence: impl Into<String>) -> Status {
    let details = ErrorDetails::with_error_info(reason, ERROR_DOMAIN, HashMap::new());
    with_details(Code::PermissionDenied, sentence, details)
}

/// A defect of the service; the log has the rest.
pub fn internal() -> Status {
    internal_because("internal error; the service's log has the details")
}

/// The request cannot be carried out for a reason on this side; says as much of it as a client may know.
pub fn internal_because(sentence: impl Into<String>) -> Status {
    plain(Code::Internal, sentence)
}

/// It took too long.
pub fn deadline_exceeded(sentence: impl Into<String>) -> Status {
    plain(Code::DeadlineExceeded, sentence)
}

/// The caller is not known.
pub(crate) fn unauthenticated(sentence: impl Into<String>) -> Status {
    plain(Code::Unauthenticated, sentence)
}

/// The service does not have what is called for.
fn unimplemented(sentence: impl Into<String>) -> Status {
    plain(Code::Unimplemented, sentence)
}

/// tonic reports a message over the size limit as OUT_OF_RANGE; the contract calls it RESOURCE_EXHAUSTED.
#[must_use]
pub fn from_transport(status: Status, max_message_bytes: usize) -> Status {
    if status.code() == Code::OutOfRange { message_too_large(max_message_bytes) } else { status }
}

/// The message is over the size limit.
#[must_use]
pub fn message_too_large(max_message_bytes: usize) -> Status {
    too_large(format!(
        "message is over the limit of {max_message_bytes} bytes; send fewer points in one message"
    ))
}
