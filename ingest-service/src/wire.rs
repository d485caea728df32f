//! Reads request messages in place: the protobuf wire format of `proto/tidegauge/v1/ingest.proto`.
//!
//! A message stays in one buffer, and its parts are borrowed from it. This module checks only that
//! the bytes are well-formed; `validate` checks the values. The documentation of Protocol Buffers
//! describes the format under "Encoding".

mod batch;
mod codec;
mod fields;

pub(crate) use batch::{WireBatch, WirePoint, WireSeries, is_heartbeat};
pub(crate) use codec::{RawMessage, WireCodec};
pub(crate) use fields::Malformed;
