//! What a device id, a metric name and a producer id may be.

use shared::proto::v1::RejectionReason as Reason;

/// Longest id, in bytes. Two of them fit an index entry of PostgreSQL.
pub(crate) const ID_MAX_BYTES: usize = 256;

/// How an id can be wrong.
pub(crate) enum IdFault {
    Empty,
    TooLong,
    Control,
}

/// Checks an id; the sentence names the field, the limit and what was found.
pub(crate) fn check(field: &str, id: &str) -> Result<(), (IdFault, String)> {
    if id.is_empty() {
        return Err((IdFault::Empty, format!("{field} is empty; it needs 1 to {ID_MAX_BYTES} bytes")));
    }
    if id.len() > ID_MAX_BYTES {
        let sentence = format!("{field} has {} bytes; the limit is {ID_MAX_BYTES}", id.len());
        return Err((IdFault::TooLong, sentence));
    }
    match id.char_indices().find(|(_, character)| character.is_control()) {
        Some((at, character)) => {
            let code = u32::from(character);
            Err((IdFault::Control, format!("{field} has the control character U+{code:04X} at byte {at}")))
        }
        None => Ok(()),
    }
}

pub(super) fn check_device_id(id: &str) -> Result<(), (Reason, String)> {
    check("device_id", id).map_err(|(fault, sentence)| {
        let reason = match fault {
            IdFault::Empty => Reason::DeviceIdEmpty,
            IdFault::TooLong => Reason::DeviceIdTooLong,
            IdFault::Control => Reason::DeviceIdInvalid,
        };
        (reason, sentence)
    })
}

pub(super) fn check_metric_name(name: &str) -> Result<(), (Reason, String)> {
    check("metric_name", name).map_err(|(fault, sentence)| {
        let reason = match fault {
            IdFault::Empty => Reason::MetricNameEmpty,
            IdFault::TooLong => Reason::MetricNameTooLong,
            IdFault::Control => Reason::MetricNameInvalid,
        };
        (reason, sentence)
    })
}
