//! The bytes of a message, read in place: the protobuf wire format of `proto/tidegauge/v1/ingest.proto`, and nothing else.
//!
//! A message stays one buffer; what it holds is borrowed from it. Numbers are checked to be there, not to make sense: that is
//! `validate`'s. The format is that of "Encoding" in the documentation of Protocol Buffers.

mod batch;
mod codec;
mod fields;

pub(crate) use batch::{WireBatch, WirePoint, WireSeries, is_heartbeat};
pub(crate) use codec::{Message, WireCodec};
pub(crate) use fields::Malformed;
