//! Sends batches that are already encoded, so that measurements do not include the cost of
//! encoding.

use std::marker::PhantomData;

use prost::Message;
use prost::bytes::{Buf as _, BufMut as _, Bytes};
use shared::proto::v1::{Batch, Producer};
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

/// Encoded request message. In all calls of the API, the batch is field 1.
pub(super) struct EncodedRequest {
    head: Vec<u8>,
    points: Bytes,
}

impl EncodedRequest {
    /// Creates a request without producer and sequence.
    pub(super) fn unnumbered(points: Bytes) -> Self {
        Self::new(&[], points)
    }

    fn new(numbering: &[u8], points: Bytes) -> Self {
        const BATCH: u8 = 1 << 3 | 2; // field 1, length-delimited
        let mut head = vec![BATCH];
        prost::encoding::encode_varint((numbering.len() + points.len()) as u64, &mut head);
        head.extend_from_slice(numbering);
        Self { head, points }
    }
}

/// Producer that numbers the batches of one stream.
pub(super) struct NumberedProducer {
    producer: Producer,
    sequence: u64,
}

impl NumberedProducer {
    /// Creates a producer with a new, random id.
    pub(super) fn new() -> Self {
        let producer_id = format!("bench-{:016x}", rand::random::<u64>());
        Self { producer: Producer { producer_id, epoch: 1 }, sequence: 0 }
    }

    pub(super) fn next(&mut self, points: Bytes) -> EncodedRequest {
        self.sequence += 1;
        let numbering = Batch {
            producer: Some(self.producer.clone()),
            sequence: self.sequence,
            ..Default::default()
        };
        EncodedRequest::new(&numbering.encode_to_vec(), points)
    }
}

/// Codec of encoded requests and of responses of one type.
pub(super) struct EncodedCodec<Answer>(PhantomData<Answer>);

impl<Answer> Default for EncodedCodec<Answer> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<Answer: Message + Default + 'static> Codec for EncodedCodec<Answer> {
    type Encode = EncodedRequest;
    type Decode = Answer;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self::default()
    }

    fn decoder(&mut self) -> Self {
        Self::default()
    }
}

impl<Answer> Encoder for EncodedCodec<Answer> {
    type Item = EncodedRequest;
    type Error = Status;

    fn encode(
        &mut self,
        message: EncodedRequest,
        buffer: &mut EncodeBuf<'_>,
    ) -> Result<(), Status> {
        buffer.reserve(message.head.len() + message.points.len());
        buffer.put_slice(&message.head);
        buffer.put_slice(&message.points);
        Ok(())
    }
}

impl<Answer: Message + Default> Decoder for EncodedCodec<Answer> {
    type Item = Answer;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Answer>, Status> {
        let message = buffer.copy_to_bytes(buffer.remaining());
        #[allow(clippy::disallowed_methods)] // an error of this client, which no service sends
        Answer::decode(message).map(Some).map_err(|error| Status::internal(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use shared::proto::v1::IngestRequest;

    use super::*;

    #[test]
    fn an_encoded_request_decodes_as_a_request_message() {
        let points =
            Batch { points: vec![Default::default(); 2], ..Default::default() }.encode_to_vec();
        let mut numbered = NumberedProducer::new();
        numbered.next(Bytes::new());
        let EncodedRequest { mut head, points } = numbered.next(points.into());
        head.extend_from_slice(&points);
        let batch = IngestRequest::decode(head.as_slice()).unwrap().batch.unwrap();
        assert_eq!(batch.points.len(), 2);
        assert_eq!((batch.producer, batch.sequence), (Some(numbered.producer), 2));
    }
}
