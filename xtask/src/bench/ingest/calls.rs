//! Sends points through each call of ingest-service over several connections, and counts the
//! acknowledged ones.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use http::uri::PathAndQuery;
use prost::bytes::Bytes;
use shared::proto::v1::{BatchResult, IngestBatchResponse, IngestResponse, IngestWithAcksResponse};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tonic::client::Grpc;
use tonic::transport::Channel;
use tonic::{Request, Streaming};

use super::render::{self, Form};
use super::shape::{BATCH_POINTS, Shape};
use super::wire::{EncodedCodec, EncodedRequest, NumberedProducer};
use crate::service::Service;

/// Number of connections. Each carries one stream, or [`WINDOW`] concurrent unary calls.
pub(super) const STREAMS: usize = 4;
/// Maximum number of unacknowledged batches per connection. `ManyProducers` has one per producer
/// instead.
pub(super) const WINDOW: usize = 8;

/// Call of the ingest API that is measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum IngestCall {
    IngestWithAcks,
    Ingest,
    IngestBatch,
    /// `IngestWithAcks` with batches of one point. Each device is a producer.
    ManyProducers,
}

/// Sends all points of a shape. Returns the time until the last acknowledgement. Fails unless every
/// point is accepted.
pub(super) async fn send(
    service: &Service,
    call: IngestCall,
    shape: &Shape,
    form: Form,
) -> anyhow::Result<Duration> {
    let many_producers = call == IngestCall::ManyProducers;
    let producers = if many_producers { shape.devices / STREAMS } else { 1 };
    let mut streams: Vec<Vec<Bytes>> = vec![Vec::new(); STREAMS];
    for (at, range) in shape.split(if many_producers { 1 } else { BATCH_POINTS }).enumerate() {
        streams[at % STREAMS].push(render::batch(shape, &range, form));
    }
    let channels = service.connect_many(STREAMS).await?;
    let mut senders = JoinSet::new();
    let began = Instant::now();
    for (channel, batches) in channels.into_iter().zip(streams) {
        senders.spawn(async move {
            match call {
                IngestCall::IngestWithAcks => with_acks(channel, batches, producers, WINDOW).await,
                IngestCall::ManyProducers => {
                    with_acks(channel, batches, producers, producers).await
                }
                IngestCall::Ingest => one_stream(channel, batches).await,
                IngestCall::IngestBatch => unary_calls(channel, batches).await,
            }
        });
    }
    let mut points = 0;
    while let Some(acknowledged) = senders.join_next().await {
        points += acknowledged??;
    }
    let elapsed = began.elapsed();
    ensure!(
        points == shape.points() as u64,
        "{points} of {} points were acknowledged",
        shape.points()
    );
    Ok(elapsed)
}

/// Sends batches through one stream and keeps its window full. The producers take turns.
async fn with_acks(
    channel: Channel,
    batches: Vec<Bytes>,
    producers: usize,
    window: usize,
) -> anyhow::Result<u64> {
    if batches.is_empty() {
        return Ok(0); // without a batch, no acknowledgement would end the stream
    }
    let mut producers: Vec<NumberedProducer> =
        (0..producers).map(|_| NumberedProducer::new()).collect();
    let count = producers.len();
    let mut batches =
        batches.into_iter().enumerate().map(|(at, batch)| producers[at % count].next(batch));
    let (queue, requests) = mpsc::channel(window);
    for batch in batches.by_ref().take(window) {
        queue.send(batch).await?;
    }
    let mut queue = Some(queue);
    let mut acks = open_acks(channel, requests).await?;
    let mut points = 0;
    let mut acknowledged = 0;
    while let Some(ack) = acks.message().await? {
        ensure!(
            ack.batch_index == acknowledged,
            "batch {} was acknowledged before batch {acknowledged}",
            ack.batch_index
        );
        acknowledged += 1;
        points += accepted(ack.result)?;
        match (batches.next(), &queue) {
            (Some(batch), Some(queue)) => queue.send(batch).await?,
            _ => queue = None,
        }
    }
    Ok(points)
}

/// Opens a stream with acknowledgements.
pub(super) async fn open_acks(
    channel: Channel,
    requests: mpsc::Receiver<EncodedRequest>,
) -> anyhow::Result<Streaming<IngestWithAcksResponse>> {
    let mut client = ready(channel).await?;
    let path = PathAndQuery::from_static("/tidegauge.v1.IngestService/IngestWithAcks");
    let requests = Request::new(ReceiverStream::new(requests));
    Ok(client.streaming(requests, path, EncodedCodec::default()).await?.into_inner())
}

/// Sends all batches of one producer through one `Ingest` stream, which is answered once at its
/// end.
async fn one_stream(channel: Channel, batches: Vec<Bytes>) -> anyhow::Result<u64> {
    let mut numbered = NumberedProducer::new();
    let requests: Vec<EncodedRequest> =
        batches.into_iter().map(|batch| numbered.next(batch)).collect();
    let mut client = ready(channel).await?;
    let path = PathAndQuery::from_static("/tidegauge.v1.IngestService/Ingest");
    let requests = Request::new(tokio_stream::iter(requests));
    let response = client
        .client_streaming(requests, path, EncodedCodec::<IngestResponse>::default())
        .await?
        .into_inner();
    Ok(response.accepted_count)
}

/// Sends batches through concurrent unary calls on one connection. They are unnumbered, because
/// their order is undefined.
async fn unary_calls(channel: Channel, batches: Vec<Bytes>) -> anyhow::Result<u64> {
    let next = Arc::new(AtomicUsize::new(0));
    let batches = Arc::new(batches);
    let mut callers = JoinSet::new();
    for _ in 0..WINDOW {
        let channel = channel.clone();
        let next = Arc::clone(&next);
        let batches = Arc::clone(&batches);
        callers.spawn(async move {
            let mut points = 0;
            while let Some(batch) = batches.get(next.fetch_add(1, Ordering::Relaxed)) {
                points += unary(channel.clone(), batch.clone()).await?;
            }
            anyhow::Ok(points)
        });
    }
    let mut points = 0;
    while let Some(acknowledged) = callers.join_next().await {
        points += acknowledged??;
    }
    Ok(points)
}

async fn unary(channel: Channel, batch: Bytes) -> anyhow::Result<u64> {
    let mut client = ready(channel).await?;
    let path = PathAndQuery::from_static("/tidegauge.v1.IngestService/IngestBatch");
    let request = Request::new(EncodedRequest::unnumbered(batch));
    let response = client
        .unary(request, path, EncodedCodec::<IngestBatchResponse>::default())
        .await?
        .into_inner();
    accepted(response.result)
}

async fn ready(channel: Channel) -> anyhow::Result<Grpc<Channel>> {
    let mut client = Grpc::new(channel);
    client.ready().await?;
    Ok(client)
}

/// Returns the number of accepted points. Fails if any point was rejected.
pub(super) fn accepted(result: Option<BatchResult>) -> anyhow::Result<u64> {
    let result = result.context("the response has no result")?;
    if let Some(rejection) = result.rejections.first() {
        bail!("a point was rejected: {}", rejection.message);
    }
    Ok(result.accepted_count)
}
