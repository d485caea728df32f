//! Permissions of a caller to write devices and to use producers.

use shared::auth::{DevicePrefixes, Identity};

use crate::error::BatchError;

/// Prefixes of the devices and producers that a caller may use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Permissions<'p> {
    pub(crate) devices: &'p DevicePrefixes,
    /// `None` if the caller may not send numbered batches.
    pub(crate) producer_prefix: Option<&'p str>,
}

impl<'p> Permissions<'p> {
    pub(crate) fn of(identity: &'p Identity) -> Self {
        Self { devices: &identity.devices, producer_prefix: identity.producer_prefix.as_deref() }
    }

    /// Checks that the caller may write points of a device.
    ///
    /// # Errors
    /// Returns the sentence of the rejection of its points.
    pub(crate) fn check_device(self, device_id: &str) -> Result<(), String> {
        if self.devices.allow(device_id) {
            return Ok(());
        }
        Err(format!("device_id {device_id:?} has none of the prefixes that the caller may write"))
    }

    /// Refuses a producer that the caller may not use.
    pub(crate) fn check_producer(self, producer_id: &str) -> Result<(), BatchError> {
        let sentence = match self.producer_prefix {
            Some(prefix) if producer_id.starts_with(prefix) => return Ok(()),
            Some(prefix) => {
                format!("producer_id {producer_id:?} must begin with {prefix:?} for this caller")
            }
            None => {
                "the caller may not send numbered batches: it has no producer_prefix".to_owned()
            }
        };
        Err(BatchError::Forbidden { reason: "PRODUCER_NOT_PERMITTED", sentence })
    }

    /// Returns the error of a batch none of whose points the caller may write.
    pub(crate) fn nothing_permitted(found: usize) -> BatchError {
        let sentence =
            format!("the caller may not write the devices of any of the batch's {found} points");
        BatchError::Forbidden { reason: "DEVICE_NOT_PERMITTED", sentence }
    }
}
