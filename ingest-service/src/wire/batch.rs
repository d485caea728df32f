//! A batch, its points and its columns as views of the message's bytes. Field numbers are those of
//! the contract.

use std::borrow::Cow;
use std::hash::Hasher as _;

use siphasher::sip::SipHasher13;

use super::fields::{Fields, Malformed, WireValue};

/// A `Batch` message. Its points are decoded lazily.
#[derive(Clone, Debug, Default)]
pub(crate) struct WireBatch<'m> {
    body: &'m [u8],
    pub(crate) producer: Option<WireProducer<'m>>,
    pub(crate) sequence: u64,
    /// Number of points in row form.
    pub(crate) row_count: usize,
}

/// A `Producer` message.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct WireProducer<'m> {
    pub(crate) producer_id: &'m [u8],
    pub(crate) epoch: u64,
}

/// A `Point` message.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct WirePoint<'m> {
    pub(crate) device_id: &'m [u8],
    pub(crate) metric_name: &'m [u8],
    /// `None` if the field is absent.
    pub(crate) value: Option<f64>,
    /// Seconds and nanoseconds.
    pub(crate) timestamp: Option<(i64, i32)>,
}

/// A `SeriesPoints` message. Columns are little-endian numbers of 8 bytes each.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct WireSeries<'m> {
    pub(crate) device_id: &'m [u8],
    pub(crate) metric_name: &'m [u8],
    pub(crate) timestamps: Cow<'m, [u8]>,
    pub(crate) values: Cow<'m, [u8]>,
}

/// Returns whether a message of a stream has no batch and therefore only keeps the stream open.
pub(crate) fn is_heartbeat(message: &[u8]) -> bool {
    Fields(message).all(|field| matches!(field, Ok((number, _)) if number != 1))
}

impl<'m> WireBatch<'m> {
    /// Parses the batch of a request message, which is its field 1. A message without that field
    /// holds an empty batch.
    pub(crate) fn parse(message: &'m [u8]) -> Result<Self, Malformed> {
        let mut body = None;
        for field in Fields(message) {
            if let (1, value) = field?
                && body.replace(value.bytes(1)?).is_some()
            {
                return Err(Malformed::Twice);
            }
        }
        let mut batch = Self { body: body.unwrap_or_default(), ..Self::default() };
        for field in Fields(batch.body) {
            match field? {
                (1, value) => batch.producer.get_or_insert_default().merge(value.bytes(1)?)?,
                (2, value) => batch.sequence = value.varint(2)?,
                (3, _) => batch.row_count += 1,
                _ => {}
            }
        }
        Ok(batch)
    }

    /// Returns a hash of the batch's bytes. The ledger stores it, so it must be the same in every
    /// version of the service.
    pub(crate) fn content_hash(&self) -> u64 {
        let mut hasher = SipHasher13::new();
        hasher.write(self.body);
        hasher.finish()
    }

    /// Iterates over the points in row form.
    pub(crate) fn points(
        &self,
    ) -> impl Iterator<Item = Result<WirePoint<'m>, Malformed>> + use<'m> {
        Fields(self.body).filter_map(|field| match field {
            Ok((3, value)) => Some(value.bytes(3).and_then(WirePoint::parse)),
            _ => None, // `parse` has checked all fields
        })
    }

    /// Iterates over the points in series form.
    pub(crate) fn series(
        &self,
    ) -> impl Iterator<Item = Result<WireSeries<'m>, Malformed>> + use<'m> {
        Fields(self.body).filter_map(|field| match field {
            Ok((4, value)) => Some(value.bytes(4).and_then(WireSeries::parse)),
            _ => None,
        })
    }
}

impl<'m> WireProducer<'m> {
    fn merge(&mut self, message: &'m [u8]) -> Result<(), Malformed> {
        for field in Fields(message) {
            match field? {
                (1, value) => self.producer_id = value.bytes(1)?,
                (2, value) => self.epoch = value.varint(2)?,
                _ => {}
            }
        }
        Ok(())
    }
}

impl<'m> WirePoint<'m> {
    #[inline]
    fn parse(message: &'m [u8]) -> Result<Self, Malformed> {
        let mut point = Self::default();
        for field in Fields(message) {
            match field? {
                (1, value) => point.device_id = value.bytes(1)?,
                (2, value) => point.metric_name = value.bytes(2)?,
                (3, value) => point.value = Some(value.double(3)?),
                (4, value) => {
                    merge_timestamp(point.timestamp.get_or_insert_default(), value.bytes(4)?)?
                }
                _ => {}
            }
        }
        Ok(point)
    }
}

/// Merges a `google.protobuf.Timestamp`, whose numbers are varints in two's complement.
#[inline]
#[allow(clippy::cast_possible_truncation)] // protobuf says that an int32 is cut to 32 bits
fn merge_timestamp(timestamp: &mut (i64, i32), message: &[u8]) -> Result<(), Malformed> {
    for field in Fields(message) {
        match field? {
            (1, value) => timestamp.0 = value.varint(1)?.cast_signed(),
            (2, value) => timestamp.1 = value.varint(2)?.cast_signed() as i32,
            _ => {}
        }
    }
    Ok(())
}

impl<'m> WireSeries<'m> {
    fn parse(message: &'m [u8]) -> Result<Self, Malformed> {
        let mut series = Self::default();
        for field in Fields(message) {
            match field? {
                (1, value) => series.device_id = value.bytes(1)?,
                (2, value) => series.metric_name = value.bytes(2)?,
                (3, value) => append(&mut series.timestamps, value, 3)?,
                (4, value) => append(&mut series.values, value, 4)?,
                _ => {}
            }
        }
        Ok(series)
    }

    /// Returns the number of points, which is the length of the longer column.
    pub(crate) fn len(&self) -> usize {
        self.timestamps.len().max(self.values.len()) / 8
    }
}

/// Appends to a column of 8-byte numbers. The first packed run is borrowed; further runs and
/// unpacked numbers are copied.
fn append<'m>(
    column: &mut Cow<'m, [u8]>,
    value: WireValue<'m>,
    number: u32,
) -> Result<(), Malformed> {
    match value {
        WireValue::Bytes(packed) if !packed.len().is_multiple_of(8) => {
            return Err(Malformed::Column);
        }
        WireValue::Bytes(packed) if column.is_empty() => *column = Cow::Borrowed(packed),
        WireValue::Bytes(packed) => column.to_mut().extend_from_slice(packed),
        WireValue::Fixed64(one) => column.to_mut().extend_from_slice(&one),
        _ => return Err(Malformed::Type(number)),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use shared::proto::v1;

    use super::*;

    #[test]
    fn a_message_encoded_by_prost_is_read_back() {
        let timestamp = Some(prost_types::Timestamp { seconds: -5, nanos: 7 });
        let device_id = "dev".to_owned();
        let metric_name = "met".to_owned();
        let point = v1::Point {
            device_id: device_id.clone(),
            metric_name: metric_name.clone(),
            value: Some(1.5),
            timestamp,
        };
        let columns = v1::SeriesPoints {
            device_id,
            metric_name,
            timestamps_us: vec![1, -2],
            values: vec![0.5, 2.5],
        };
        let producer = Some(v1::Producer { producer_id: "gateway".to_owned(), epoch: 9 });
        let batch =
            v1::Batch { producer, sequence: 3, points: vec![point; 2], series: vec![columns] };
        let bytes = v1::IngestRequest { batch: Some(batch) }.encode_to_vec();
        let read = WireBatch::parse(&bytes).unwrap();
        assert_eq!(read.producer, Some(WireProducer { producer_id: b"gateway", epoch: 9 }));
        assert_eq!((read.sequence, read.row_count), (3, 2));
        let expected = WirePoint {
            device_id: b"dev",
            metric_name: b"met",
            value: Some(1.5),
            timestamp: Some((-5, 7)),
        };
        assert_eq!(read.points().collect::<Vec<_>>(), [Ok(expected); 2]);
        let series = read.series().next().unwrap().unwrap();
        assert!(matches!(series.values, Cow::Borrowed(_)), "columns are not copied");
        assert_eq!(*series.timestamps, [1_i64.to_le_bytes(), (-2_i64).to_le_bytes()].concat());
        assert_eq!(*series.values, [0.5_f64.to_le_bytes(), 2.5_f64.to_le_bytes()].concat());
    }

    #[test]
    fn columns_may_come_in_pieces_or_one_by_one() {
        let mut column = Cow::Borrowed(&[][..]);
        append(&mut column, WireValue::Bytes(&[1; 8]), 3).unwrap();
        append(&mut column, WireValue::Fixed64([2; 8]), 3).unwrap();
        append(&mut column, WireValue::Bytes(&[3; 16]), 3).unwrap();
        assert_eq!(*column, [[1; 8], [2; 8], [3; 8], [3; 8]].concat());
        assert_eq!(append(&mut column, WireValue::Bytes(&[3; 9]), 3), Err(Malformed::Column));
        assert_eq!(append(&mut column, WireValue::Varint(3), 3), Err(Malformed::Type(3)));
    }

    #[test]
    fn a_message_may_be_empty_but_not_hold_two_batches() {
        assert_eq!(WireBatch::parse(&[]).unwrap().row_count, 0);
        assert_eq!(WireBatch::parse(&[0x0a, 0, 0x0a, 0]).unwrap_err(), Malformed::Twice);
        assert_eq!(WireBatch::parse(&[0x08, 0]).unwrap_err(), Malformed::Type(1));
    }

    #[test]
    fn a_message_without_a_batch_is_a_heartbeat() {
        assert!(is_heartbeat(&[]));
        assert!(is_heartbeat(&[0x10, 1]), "an unknown field");
        assert!(!is_heartbeat(&[0x0a, 0]), "an empty batch");
        assert!(!is_heartbeat(&[0x10]), "a malformed message is reported, not skipped");
    }

    #[test]
    fn the_hash_of_stored_batches_never_changes() {
        let batch = WireBatch::parse(&[0x0a, 2, 0x10, 7]).unwrap();
        assert_eq!(batch.content_hash(), 10_332_846_626_530_061_477);
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let mut state = 7_u64;
        for _ in 0..20_000 {
            let mut bytes = vec![0x0a, 0];
            for _ in 0..state % 64 {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                bytes.push((state >> 33).to_le_bytes()[0] & 0x3f);
            }
            bytes[1] = u8::try_from(bytes.len() - 2).unwrap();
            if let Ok(batch) = WireBatch::parse(&bytes) {
                let _ = (batch.points().count(), batch.series().count());
            }
            state = state.wrapping_add(1);
        }
    }
}
