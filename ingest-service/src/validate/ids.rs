//! What a device id, a metric name and a producer id may be.

use shared::proto::v1::RejectionReason as Reason;

use super::Refusal;

/// Longest id, in bytes. Two of them fit an index entry of PostgreSQL.
pub(crate) const ID_MAX_BYTES: usize = 256;

/// How an id can be wrong.
pub(crate) enum IdFault {
    Empty,
    TooLong,
    Invalid,
}

/// Checks an id; the sentence names the field, the limit and what was found.
pub(crate) fn check<'m>(field: &str, id: &'m [u8]) -> Result<&'m str, (IdFault, String)> {
    if id.is_empty() {
        return Err((IdFault::Empty, format!("{field} is empty; it needs 1 to {ID_MAX_BYTES} bytes")));
    }
    if id.len() > ID_MAX_BYTES {
        let sentence = format!("{field} has {} bytes; the limit is {ID_MAX_BYTES}", id.len());
        return Err((IdFault::TooLong, sentence));
    }
    let invalid = |sentence| (IdFault::Invalid, sentence);
    let id = std::str::from_utf8(id).map_err(|error| invalid(format!("{field} is not UTF-8: {error}")))?;
    match id.char_indices().find(|(_, character)| character.is_control()) {
        Some((at, character)) => {
            let code = u32::from(character);
            Err(invalid(format!("{field} has the control character U+{code:04X} at byte {at}")))
        }
        None => Ok(id),
    }
}

pub(super) fn check_device_id(id: &[u8]) -> Result<&str, Refusal> {
    check("device_id", id).map_err(|(fault, sentence)| {
        let reason = match fault {
            IdFault::Empty => Reason::DeviceIdEmpty,
            IdFault::TooLong => Reason::DeviceIdTooLong,
            IdFault::Invalid => Reason::DeviceIdInvalid,
        };
        (reason, sentence)
    })
}

pub(super) fn check_metric_name(name: &[u8]) -> Result<&str, Refusal> {
    check("metric_name", name).map_err(|(fault, sentence)| {
        let reason = match fault {
            IdFault::Empty => Reason::MetricNameEmpty,
            IdFault::TooLong => Reason::MetricNameTooLong,
            IdFault::Invalid => Reason::MetricNameInvalid,
        };
        (reason, sentence)
    })
}
