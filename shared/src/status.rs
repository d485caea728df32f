//! gRPC statuses with the details that the contract promises. They never contain messages of the
//! database.
//!
//! Services create all their statuses with this module, which marks them; the lint
//! `disallowed_methods` (`clippy.toml`) enforces it. A status without the mark comes from a
//! library, and `library.rs` translates it.

mod layer;
mod library;

use std::collections::HashMap;
use std::time::Duration;

use http::HeaderMap;
use tonic::metadata::MetadataValue;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

pub(crate) use layer::Statuses;

/// Suggested delay before a retry if no better estimate is available.
pub(crate) const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Value of `ErrorInfo.domain`.
pub const ERROR_DOMAIN: &str = "tidegauge";
/// Metadata key that marks statuses made by this module. Removed before a client sees them.
const MARK: &str = "tidegauge-own-status";

/// Marks a status as made by this module.
fn own(mut status: Status) -> Status {
    status.metadata_mut().insert(MARK, MetadataValue::from_static("1"));
    status
}

/// Removes the mark and returns whether it was present.
fn unmark(headers: &mut HeaderMap) -> bool {
    headers.remove(MARK).is_some()
}

/// Returns a marked status with details.
#[allow(clippy::disallowed_methods)] // statuses are created here
pub(crate) fn with_details(
    code: Code,
    sentence: impl Into<String>,
    details: ErrorDetails,
) -> Status {
    own(Status::with_error_details(code, sentence, details))
}

/// Returns a marked status without details.
#[allow(clippy::disallowed_methods)]
fn plain(code: Code, sentence: impl Into<String>) -> Status {
    own(Status::new(code, sentence))
}

/// Returns INVALID_ARGUMENT for a request that can never succeed. `sentence` says what was found in
/// the field and what is accepted.
pub fn invalid_argument(field: &str, sentence: impl Into<String>) -> Status {
    let sentence = sentence.into();
    let details = ErrorDetails::with_bad_request_violation(field, sentence.clone());
    with_details(Code::InvalidArgument, format!("{field}: {sentence}"), details)
}

/// Returns NOT_FOUND for a resource named in the request.
pub fn not_found(kind: &str, name: &str) -> Status {
    let sentence = format!("{kind} {name:?} does not exist");
    let details = ErrorDetails::with_resource_info(kind, name, "", sentence.clone());
    with_details(Code::NotFound, sentence, details)
}

/// Returns UNAVAILABLE with a retry delay of 1 s.
pub fn unavailable(sentence: impl Into<String>) -> Status {
    with_details(Code::Unavailable, sentence, ErrorDetails::with_retry_info(Some(RETRY_AFTER)))
}

/// Returns RESOURCE_EXHAUSTED without a retry delay, for a request that always exceeds a limit.
pub fn too_large(sentence: impl Into<String>) -> Status {
    plain(Code::ResourceExhausted, sentence)
}

/// Returns RESOURCE_EXHAUSTED with a retry delay, for a limit on concurrent work.
pub fn too_many(sentence: impl Into<String>, retry_after: Duration) -> Status {
    with_details(
        Code::ResourceExhausted,
        sentence,
        ErrorDetails::with_retry_info(Some(retry_after)),
    )
}

/// Returns FAILED_PRECONDITION with a machine-readable reason in capitals and its metadata.
pub fn failed_precondition(
    reason: &str,
    metadata: HashMap<String, String>,
    sentence: impl Into<String>,
) -> Status {
    let details = ErrorDetails::with_error_info(reason, ERROR_DOMAIN, metadata);
    with_details(Code::FailedPrecondition, sentence, details)
}

/// Returns the status with more `ErrorInfo` metadata and a longer message. `reason` is used only if
/// the status has no `ErrorInfo` yet.
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

/// Returns PERMISSION_DENIED with a machine-readable reason in capitals.
pub fn permission_denied(reason: &str, sentence: impl Into<String>) -> Status {
    let details = ErrorDetails::with_error_info(reason, ERROR_DOMAIN, HashMap::new());
    with_details(Code::PermissionDenied, sentence, details)
}

/// Returns INTERNAL for a defect of the service, without its cause. The caller logs the cause.
pub fn internal() -> Status {
    internal_because("internal error; the service's log has the details")
}

/// Returns INTERNAL for a failure whose cause clients may know.
pub fn internal_because(sentence: impl Into<String>) -> Status {
    plain(Code::Internal, sentence)
}

/// Returns DEADLINE_EXCEEDED.
pub fn deadline_exceeded(sentence: impl Into<String>) -> Status {
    plain(Code::DeadlineExceeded, sentence)
}

/// Returns UNAUTHENTICATED.
pub(crate) fn unauthenticated(sentence: impl Into<String>) -> Status {
    plain(Code::Unauthenticated, sentence)
}

/// Returns UNIMPLEMENTED for an unknown method or encoding.
fn unimplemented(sentence: impl Into<String>) -> Status {
    plain(Code::Unimplemented, sentence)
}

/// Translates tonic's OUT_OF_RANGE for an oversized message into RESOURCE_EXHAUSTED, as the
/// contract says. Returns other statuses unchanged.
#[must_use]
pub fn from_transport(status: Status, max_message_bytes: usize) -> Status {
    if status.code() == Code::OutOfRange { message_too_large(max_message_bytes) } else { status }
}

/// Returns RESOURCE_EXHAUSTED for a message over the size limit.
#[must_use]
pub fn message_too_large(max_message_bytes: usize) -> Status {
    too_large(format!(
        "message exceeds the limit of {max_message_bytes} bytes (TIDEGAUGE_MAX_MESSAGE_BYTES); \
         split it into smaller messages"
    ))
}
