//! Sends batches that are already encoded: what a measurement pays for is the service, not the making of messages.

use std::marker::PhantomData;

use prost::Message;
use prost::bytes::{Buf as _, BufMut as _, Bytes};
use shared::proto::v1::{Batch, Producer};
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

/// A request message of any of the calls: all have the batch as field 1.
pub(super) struct Rendered {
    head: Vec<u8>,
    points: Bytes,
}

impl Rendered {
    /// A batch without producer.
    pub(super) fn unnumbered(points: Bytes) -> Self {
        Self::new(&[], points)
    }

    fn new(numbering: &[u8], points: Bytes) -> Self {
        const BATCH: u8 = 1 << 3 | 2; // field 1, with a length
        let mut head = vec![BATCH];
        prost::encoding::encode_varint((numbering.len() + points.len()) as u64, &mut head);
        head.extend_from_slice(numbering);
        Self { head, points }
    }
}

/// Numbers the batches of one stream.
pub(super) struct Numbered {
    producer: Producer,
    sequence: u64,
}

impl Numbered {
    /// A producer that no one has heard of.
    pub(super) fn new() -> Self {
        let producer_id = format!("bench-{:016x}", rand::random::<u64>());
        Self { producer: Producer { producer_id, epoch: 1 }, sequence: 0 }
    }

    pub(super) fn next(&mut self, points: Bytes) -> Rendered {
        self.sequence += 1;
        let numbering = Batch {
            producer: Some(self.producer.clone()),
            sequence: self.sequence,
            ..Default::default()
        };
        Rendered::new(&numbering.encode_to_vec(), points)
    }
}

/// Rendered messages there, answers of one type back.
pub(super) struct RenderedCodec<Answer>(PhantomData<Answer>);

impl<Answer> Default for RenderedCodec<Answer> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<Answer: Message + Default + 'static> Codec for RenderedCodec<Answer> {
    type Encode = Rendered;
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

impl<Answer> Encoder for RenderedCodec<Answer> {
    type Item = Rendered;
    type Error = Status;

    fn encode(&mut self, message: Rendered, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.reserve(message.head.len() + message.points.len());
        buffer.put_slice(&message.head);
        buffer.put_slice(&message.points);
        Ok(())
    }
}

impl<Answer: Message + Default> Decoder for RenderedCodec<Answer> {
    type Item = Answer;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Answer>, Status> {
        let message = buffer.copy_to_bytes(buffer.remaining());
        #[allow(clippy::disallowed_methods)] // a client's own, which no service sends
        Answer::decode(message).map(Some).map_err(|error| Status::internal(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use shared::proto::v1::IngestRequest;

    use super::*;

    #[test]
    fn a_rendered_message_reads_as_a_request() {
        let points =
            Batch { points: vec![Default::default(); 2], ..Default::default() }.encode_to_vec();
        let mut numbered = Numbered::new();
        numbered.next(Bytes::new());
        let Rendered { mut head, points } = numbered.next(points.into());
        head.extend_from_slice(&points);
        let batch = IngestRequest::decode(head.as_slice()).unwrap().batch.unwrap();
        assert_eq!(batch.points.len(), 2);
        assert_eq!((batch.producer, batch.sequence), (Some(numbered.producer), 2));
    }
}
