//! Codec that passes request messages on undecoded and encodes answers with prost.

use std::marker::PhantomData;

use bytes::{Buf as _, Bytes};
use tonic::Status;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder};
use tonic_prost::ProstEncoder;

/// An undecoded request message in the transport's buffer.
#[derive(Clone, Debug)]
pub(crate) struct RawMessage(pub(crate) Bytes);

/// Codec of undecoded requests and prost answers.
pub(crate) struct WireCodec<T>(PhantomData<T>);

impl<T> Default for WireCodec<T> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T: prost::Message + Send + 'static> Codec for WireCodec<T> {
    type Encode = T;
    type Decode = RawMessage;
    type Encoder = ProstEncoder<T>;
    type Decoder = WireDecoder;

    fn encoder(&mut self) -> Self::Encoder {
        ProstEncoder::new(BufferSettings::default())
    }

    fn decoder(&mut self) -> Self::Decoder {
        WireDecoder
    }
}

/// Decoder that passes the buffer on.
pub(crate) struct WireDecoder;

impl Decoder for WireDecoder {
    type Item = RawMessage;
    type Error = Status;

    fn decode(&mut self, source: &mut DecodeBuf<'_>) -> Result<Option<RawMessage>, Status> {
        Ok(Some(RawMessage(source.copy_to_bytes(source.remaining()))))
    }
}
