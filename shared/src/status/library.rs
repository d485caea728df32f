//! Translates statuses made by libraries, found by reading the sources of tonic 0.14.9,
//! tonic-prost, tonic-health and tonic-reflection. `docs/decisions/0001-statuses-of-libraries.md`
//! lists all of them, including those made below tonic.
//!
//! A status that is not listed is treated as a defect of the service: it becomes INTERNAL and is
//! logged.

use std::sync::LazyLock;

use tonic::{Code, Status};

use super::{
    deadline_exceeded, internal, invalid_argument, message_too_large, own, unavailable,
    unimplemented,
};
use crate::telemetry::Repeats;

/// Path prefixes of health and reflection, whose protocols define NOT_FOUND and INVALID_ARGUMENT.
const STANDARD_SERVICES: [&str; 2] = ["/grpc.health.", "/grpc.reflection."];
const ACCEPT_ENCODING: &str = "grpc-accept-encoding";
/// Maximum number of characters of a path that an error message repeats.
const PATH_CHARS: usize = 200;

/// Properties of a call that the translation needs.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) path: String,
    pub(super) max_message_bytes: usize,
}

impl Call {
    /// Returns the contract's status for one made by a library.
    pub(super) fn translate(&self, status: Status) -> Status {
        match self.known(&status) {
            Some(known) => known,
            None => {
                static LOG: LazyLock<Repeats> =
                    LazyLock::new(|| Repeats::new("unknown statuses of libraries"));
                let code = status.code();
                LOG.log(|| {
                    tracing::error!(
                        ?code,
                        path = self.path,
                        "unknown status of a library: {}",
                        status.message()
                    )
                });
                internal()
            }
        }
    }

    /// Returns the translation of a status, or `None` if it is not in the list.
    fn known(&self, status: &Status) -> Option<Status> {
        let message = status.message();
        let after = |beginning: &str| message.strip_prefix(beginning);
        match status.code() {
            Code::NotFound | Code::InvalidArgument if self.is_standard() => {
                Some(own(status.clone()))
            }
            Code::Unimplemented if message.is_empty() => Some(self.no_such_method()),
            Code::Unimplemented => {
                after("Content is compressed with ").map(|_| unknown_encoding(message, status))
            }
            Code::OutOfRange => {
                after("Error, decoded message length too large").map(|_| self.too_large())
            }
            Code::ResourceExhausted => after("Error decompressing: size limit")
                .map(|_| self.too_large())
                .or(broken(message)),
            Code::Internal => malformed(message)
                .map(|sentence| invalid_argument("message", sentence))
                .or(broken(message)),
            Code::Cancelled if message == "Timeout expired" => {
                Some(deadline_exceeded("the deadline of the call has passed"))
            }
            Code::Cancelled | Code::Unknown | Code::Unavailable | Code::PermissionDenied => {
                broken(message)
            }
            _ => None,
        }
    }

    fn is_standard(&self) -> bool {
        STANDARD_SERVICES.iter().any(|service| self.path.starts_with(service))
    }

    fn too_large(&self) -> Status {
        message_too_large(self.max_message_bytes)
    }

    fn no_such_method(&self) -> Status {
        let path: String = self.path.chars().take(PATH_CHARS).collect();
        unimplemented(format!("{path:?} is not a method of this service"))
    }
}

/// Translates the status of an unsupported `grpc-encoding`. Its message is ``Content is compressed
/// with `br` which isn't supported``, with the caller's value in backquotes.
fn unknown_encoding(message: &str, status: &Status) -> Status {
    let found = message.split('`').nth(1).unwrap_or_default();
    let accepted = status.metadata().get(ACCEPT_ENCODING);
    let names = accepted.and_then(|names| names.to_str().ok()).unwrap_or("identity");
    let mut translated = unimplemented(format!("grpc-encoding is {found:?}; supported: {names}"));
    if let Some(accepted) = accepted {
        translated.metadata_mut().insert(ACCEPT_ENCODING, accepted.clone());
    }
    translated
}

/// Returns the error message for a malformed request message, for which tonic reports INTERNAL
/// although the client is at fault.
fn malformed(message: &str) -> Option<String> {
    const UNKNOWN_FLAG: &str = "protocol error: received message with invalid compression flag: ";
    let sentence = match message {
        "Missing request message." => "is missing: the call ended without a message",
        "Unexpected EOF decoding stream." => "is incomplete: the call ended in the middle of it",
        _ if message.starts_with(
            "protocol error: received message with compressed-flag but no grpc-encoding",
        ) =>
        {
            "is marked as compressed, but the call has no grpc-encoding header"
        }
        _ if message.starts_with("Error decompressing: ") => {
            "cannot be decompressed with the encoding in the grpc-encoding header"
        }
        _ => {
            if let Some(rest) = message.strip_prefix(UNKNOWN_FLAG) {
                let flag = rest.split(' ').next().unwrap_or_default();
                return Some(format!("starts with compression flag {flag}; expected 0 or 1"));
            }
            let fault = message.strip_prefix("failed to decode Protobuf message: ")?;
            return Some(format!("is not a message of the contract: {fault}"));
        }
    };
    Some(sentence.to_owned())
}

/// Returns UNAVAILABLE if the transport broke while a message was read. Clients rarely see it,
/// because their connection is gone.
fn broken(message: &str) -> Option<Status> {
    let is_transport = [
        "h2 protocol error: ",
        "connection error",
        "error reading a body from connection",
        "operation was canceled",
    ];
    is_transport
        .iter()
        .any(|beginning| message.starts_with(beginning))
        .then(|| unavailable("the connection broke during the call: call again"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods)] // these tests play the role of a library

    use super::*;

    const LIMIT: usize = 1_000;
    const TOO_LARGE: &str = "message exceeds the limit of 1000 bytes (TIDEGAUGE_MAX_MESSAGE_BYTES); \
                             split it into smaller messages";

    fn translate(path: &str, code: Code, message: &str) -> (Code, String) {
        let call = Call { path: path.to_owned(), max_message_bytes: LIMIT };
        let translated = call.translate(Status::new(code, message));
        assert!(translated.metadata().get(super::super::MARK).is_some(), "{translated}");
        (translated.code(), translated.message().to_owned())
    }

    #[test]
    fn every_status_that_a_library_makes_becomes_one_of_the_contract() {
        let cases = [
            (
                Code::Cancelled,
                "Timeout expired",
                Code::DeadlineExceeded,
                "the deadline of the call has passed",
            ),
            (
                Code::Unimplemented,
                "",
                Code::Unimplemented,
                "\"/x/Y\" is not a method of this service",
            ),
            (
                Code::Unimplemented,
                "Content is compressed with `br` which isn't supported",
                Code::Unimplemented,
                "grpc-encoding is \"br\"; supported: identity",
            ),
            (
                Code::OutOfRange,
                "Error, decoded message length too large: found 5 bytes, the limit is: 4 bytes",
                Code::ResourceExhausted,
                TOO_LARGE,
            ),
            (
                Code::ResourceExhausted,
                "Error decompressing: size limit, of 4 bytes, exceeded while decompressing message",
                Code::ResourceExhausted,
                TOO_LARGE,
            ),
            (
                Code::Internal,
                "protocol error: received message with compressed-flag but no grpc-encoding \
                 was specified",
                Code::InvalidArgument,
                "message: is marked as compressed, but the call has no grpc-encoding header",
            ),
            (
                Code::Internal,
                "protocol error: received message with invalid compression flag: 7 \
                 (valid flags are 0 and 1), while sending request",
                Code::InvalidArgument,
                "message: starts with compression flag 7; expected 0 or 1",
            ),
            (
                Code::Internal,
                "Error decompressing: corrupt deflate stream, while sending request",
                Code::InvalidArgument,
                "message: cannot be decompressed with the encoding in the grpc-encoding header",
            ),
            (
                Code::Internal,
                "Unexpected EOF decoding stream.",
                Code::InvalidArgument,
                "message: is incomplete: the call ended in the middle of it",
            ),
            (
                Code::Internal,
                "Missing request message.",
                Code::InvalidArgument,
                "message: is missing: the call ended without a message",
            ),
            (
                Code::Internal,
                "failed to decode Protobuf message: QueryRangeRequest.selectors: invalid varint",
                Code::InvalidArgument,
                "message: is not a message of the contract: QueryRangeRequest.selectors: \
                 invalid varint",
            ),
            (
                Code::Internal,
                "h2 protocol error: stream error received: unspecific protocol error detected",
                Code::Unavailable,
                "the connection broke during the call: call again",
            ),
        ];
        for (code, message, expected, sentence) in cases {
            assert_eq!(
                translate("/x/Y", code, message),
                (expected, sentence.to_owned()),
                "{message}"
            );
        }
    }

    #[tokio::test]
    async fn a_status_that_nothing_is_known_of_is_internal_and_its_text_stays_here() {
        for code in 1..=16 {
            let (translated, sentence) =
                translate("/x/Y", Code::from(code), "password of the database");
            assert_eq!((translated, sentence.contains("password")), (Code::Internal, false));
        }
    }

    #[tokio::test]
    async fn health_and_reflection_say_what_their_protocols_say() {
        let path = "/grpc.health.v1.Health/Check";
        let translated = translate(path, Code::NotFound, "service not registered");
        assert_eq!(translated, (Code::NotFound, "service not registered".to_owned()));
        assert_eq!(translate("/x/Y", Code::NotFound, "service not registered").0, Code::Internal);
    }
}
