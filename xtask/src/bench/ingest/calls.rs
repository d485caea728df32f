//! Sends points through each call of the service, over several connections, and counts what was acknowledged.

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
use super::wire::{Numbered, Rendered, RenderedCodec};
use crate::service::Service;

/// Streams, or callers of the unary call.
pub(super) const STREAMS: usize = 4;
/// Batches of a stream that wait for their acknowledgement at any time.
pub(super) const WINDOW: usize = 8;

/// A call of the contract.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Call {
    IngestWithAcks,
    Ingest,
    IngestBatch,
    /// `IngestWithAcks`, each batch of one point and each device a producer.
    OfManyProducers,
}

/// Sends all points of a shape, and says how long it took until the last acknowledgement. All must be accepted.
pub(super) async fn send(
    service: &Service,
    call: Call,
    shape: &Shape,
    form: Form,
) -> anyhow::Result<Duration> {
    let many = call == Call::OfManyProducers;
    let producers = if many { shape.devices / STREAMS } else { 1 };
    let mut streams: Vec<Vec<Bytes>> = vec![Vec::new(); STREAMS];
    for (at, part) in shape.parts(if many { 1 } else { BATCH_POINTS }).enumerate() {
        streams[at % STREAMS].push(render::batch(shape, &part, form));
    }
    let channels = service.connect_many(STREAMS).await?;
    let mut senders = JoinSet::new();
    let began = Instant::now();
    for (channel, batches) in channels.into_iter().zip(streams) {
        senders.spawn(async move {
            match call {
                Call::IngestWithAcks => with_acks(channel, batches, producers, WINDOW).await,
                Call::OfManyProducers => with_acks(channel, batches, producers, producers).await,
                Call::Ingest => in_one_stream(channel, batches).await,
                Call::IngestBatch => one_by_one(channel, batches).await,
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

/// Producers that take turns in one stream and keep its window full.
async fn with_acks(
    channel: Channel,
    batches: Vec<Bytes>,
    producers: usize,
    window: usize,
) -> anyhow::Result<u64> {
    if batches.is_empty() {
        return Ok(0); // without an acknowledgement nothing would end the stream
    }
    let mut producers: Vec<Numbered> = (0..producers).map(|_| Numbered::new()).collect();
    let count = producers.len();
    let mut batches =
        batches.into_iter().enumerate().map(|(at, batch)| producers[at % count].next(batch));
    let (queue, requests) = mpsc::channel(window);
    for batch in batches.by_ref().take(window) {
        queue.send(batch).await?;
    }
    let mut queue = Some(queue);
    let mut acks = open_acks(channel, requests).await?;
    let (mut points, mut answered) = (0, 0);
    while let Some(ack) = acks.message().await? {
        ensure!(
            ack.batch_index == answered,
            "batch {} was acknowledged before batch {answered}",
            ack.batch_index
        );
        answered += 1;
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
    requests: mpsc::Receiver<Rendered>,
) -> anyhow::Result<Streaming<IngestWithAcksResponse>> {
    let mut client = ready(channel).await?;
    let path = PathAndQuery::from_static("/tidegauge.v1.IngestService/IngestWithAcks");
    let requests = Request::new(ReceiverStream::new(requests));
    Ok(client.streaming(requests, path, RenderedCodec::default()).await?.into_inner())
}

/// A numbered producer that gets one summary.
async fn in_one_stream(channel: Channel, batches: Vec<Bytes>) -> anyhow::Result<u64> {
    let mut numbered = Numbered::new();
    let requests: Vec<Rendered> = batches.into_iter().map(|batch| numbered.next(batch)).collect();
    let mut client = ready(channel).await?;
    let path = PathAndQuery::from_static("/tidegauge.v1.IngestService/Ingest");
    let requests = Request::new(tokio_stream::iter(requests));
    let answer = client
        .client_streaming(requests, path, RenderedCodec::<IngestResponse>::default())
        .await?
        .into_inner();
    Ok(answer.accepted_count)
}

/// As many callers on one connection as the window is wide; unnumbered, since their batches have no order.
async fn one_by_one(channel: Channel, batches: Vec<Bytes>) -> anyhow::Result<u64> {
    let (next, batches) = (Arc::new(AtomicUsize::new(0)), Arc::new(batches));
    let mut callers = JoinSet::new();
    for _ in 0..WINDOW {
        let (channel, next, batches) = (channel.clone(), Arc::clone(&next), Arc::clone(&batches));
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
    let request = Request::new(Rendered::unnumbered(batch));
    let answer = client
        .unary(request, path, RenderedCodec::<IngestBatchResponse>::default())
        .await?
        .into_inner();
    accepted(answer.result)
}

async fn ready(channel: Channel) -> anyhow::Result<Grpc<Channel>> {
    let mut client = Grpc::new(channel);
    client.ready().await?;
    Ok(client)
}

/// Points of a batch that were stored; it is an error if not all were.
pub(super) fn accepted(result: Option<BatchResult>) -> anyhow::Result<u64> {
    let result = result.context("an answer without result")?;
    if let Some(rejection) = result.rejections.first() {
        bail!("points were rejected: {}", rejection.message);
    }
    Ok(result.accepted_count)
}
