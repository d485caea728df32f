//! Checks of the producer, epoch and sequence of a batch.

use super::ids;
use crate::error::BatchError;
use crate::numbering::{Numbering, OWN_PRODUCERS};
use crate::permissions::Permissions;
use crate::wire::WireBatch;

/// Checks and returns the numbering of a batch, or `None` if it is not numbered.
pub(super) fn check_numbering(
    batch: &WireBatch<'_>,
    permissions: Permissions<'_>,
) -> Result<Option<Numbering>, BatchError> {
    let Some(producer) = &batch.producer else {
        return match batch.sequence {
            0 => Ok(None),
            sequence => {
                invalid("batch.sequence", format!("is {sequence}, but the batch has no producer"))
            }
        };
    };
    let producer_id =
        check_producer_id("batch.producer.producer_id", producer.producer_id, permissions)?;
    let Ok(epoch) = i64::try_from(producer.epoch) else {
        return invalid(
            "batch.producer.epoch",
            format!("is {}; the limit is {}", producer.epoch, i64::MAX),
        );
    };
    match i64::try_from(batch.sequence) {
        Ok(0) => invalid(
            "batch.sequence",
            "is 0; the batches of a producer are numbered from 1".to_owned(),
        ),
        Ok(sequence) => {
            let content_hash = batch.content_hash();
            Ok(Some(Numbering { producer_id, epoch, sequence, content_hash }))
        }
        Err(_) => {
            invalid("batch.sequence", format!("is {}; the limit is {}", batch.sequence, i64::MAX))
        }
    }
}

/// Checks the id of a producer and the caller's permission to use it.
///
/// # Errors
/// Fails if the id is invalid or reserved, or the caller may not use it.
pub(crate) fn check_producer_id(
    field: &'static str,
    producer_id: &[u8],
    permissions: Permissions<'_>,
) -> Result<String, BatchError> {
    let producer_id = match ids::check("producer_id", producer_id) {
        Ok(producer_id) => producer_id.to_owned(),
        Err((_, sentence)) => return Err(BatchError::Invalid { field, sentence }),
    };
    if producer_id.starts_with(OWN_PRODUCERS) {
        let sentence = format!("begins with {OWN_PRODUCERS:?}, which is reserved for the service");
        return Err(BatchError::Invalid { field, sentence });
    }
    permissions.check_producer(&producer_id)?;
    Ok(producer_id)
}

fn invalid(field: &'static str, sentence: String) -> Result<Option<Numbering>, BatchError> {
    Err(BatchError::Invalid { field, sentence })
}
