//! What the sender of a batch may write.

use shared::auth::{DevicePrefixes, Identity};
use shared::proto::v1::RejectionReason as Reason;

use super::Refusal;
use crate::error::BatchError;

/// Prefixes, as plain values.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Permissions<'p> {
    pub(crate) devices: &'p DevicePrefixes,
    /// None where no batch may be numbered.
    pub(crate) producer_prefix: Option<&'p str>,
}

impl<'p> Permissions<'p> {
    pub(crate) fn of(identity: &'p Identity) -> Self {
        Self { devices: &identity.devices, producer_prefix: identity.producer_prefix.as_deref() }
    }

    pub(super) fn check_device(self, device_id: &str) -> Result<(), Refusal> {
        if self.devices.allow(device_id) {
            return Ok(());
        }
        Err((
            Reason::PermissionDenied,
            format!("device_id {device_id:?} begins with no prefix that the caller may write"),
        ))
    }

    pub(super) fn check_producer(self, producer_id: &str) -> Result<(), BatchError> {
        let sentence = match self.producer_prefix {
            Some(prefix) if producer_id.starts_with(prefix) => return Ok(()),
            Some(prefix) => format!(
                "producer_id {producer_id:?} does not begin with {prefix:?}, as the caller's must"
            ),
            None => "the caller may not number its batches: it has no producer_prefix".to_owned(),
        };
        Err(BatchError::Forbidden { reason: "PRODUCER_NOT_PERMITTED", sentence })
    }

    /// Of a batch whose every point is out of bounds.
    pub(super) fn nothing_permitted(found: usize) -> BatchError {
        let sentence = format!(
            "none of the {found} points of the batch is of a device that the caller may write"
        );
        BatchError::Forbidden { reason: "DEVICE_NOT_PERMITTED", sentence }
    }
}
