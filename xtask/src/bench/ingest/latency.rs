//! Measures acknowledgement latency under light load and at half of the full load.

use std::time::Duration;

use anyhow::ensure;
use prost::bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};
use tonic::transport::Channel;

use super::calls::{STREAMS, accepted, open_acks};
use super::render::{self, Form};
use super::shape::{BATCH_POINTS, Shape};
use super::wire::NumberedProducer;
use crate::bench::numbers::percentile;
use crate::service::Service;

/// Milliseconds from the time at which each batch was due until its acknowledgement.
#[derive(Clone, Debug, Default)]
pub(super) struct AckLatencies(Vec<f64>);

impl AckLatencies {
    pub(super) fn percentile(&self, share: f64) -> f64 {
        percentile(&self.0, share)
    }
}

/// Sends one point of one device every `pause`, each in a batch of its own.
pub(super) async fn light(
    service: &Service,
    shape: &Shape,
    pause: Duration,
) -> anyhow::Result<AckLatencies> {
    let one_device = Shape { devices: 1, run: 1, ..*shape };
    let batches =
        one_device.split(1).map(|range| render::batch(&one_device, &range, Form::Row)).collect();
    paced(service.connect_many(1).await?, vec![batches], pause).await
}

/// Sends batches in series form over all streams, at a fixed rate.
pub(super) async fn at_rate(
    service: &Service,
    shape: &Shape,
    points_per_second: f64,
) -> anyhow::Result<AckLatencies> {
    let mut streams: Vec<Vec<Bytes>> = vec![Vec::new(); STREAMS];
    for (at, range) in shape.split(BATCH_POINTS).enumerate() {
        streams[at % STREAMS].push(render::batch(shape, &range, Form::Series));
    }
    let pause = Duration::from_secs_f64((BATCH_POINTS * STREAMS) as f64 / points_per_second);
    paced(service.connect_many(STREAMS).await?, streams, pause).await
}

async fn paced(
    channels: Vec<Channel>,
    streams: Vec<Vec<Bytes>>,
    pause: Duration,
) -> anyhow::Result<AckLatencies> {
    let mut senders = JoinSet::new();
    for (channel, batches) in channels.into_iter().zip(streams) {
        senders.spawn(paced_stream(channel, batches, pause));
    }
    let mut all = AckLatencies::default();
    while let Some(latencies) = senders.join_next().await {
        all.0.extend(latencies??);
    }
    Ok(all)
}

/// Sends batches on schedule, whether or not earlier ones are acknowledged. Latencies therefore
/// include the time in the queue.
async fn paced_stream(
    channel: Channel,
    batches: Vec<Bytes>,
    pause: Duration,
) -> anyhow::Result<Vec<f64>> {
    let count = batches.len();
    let (queue, requests) = mpsc::channel(count.max(1));
    let (due_times, mut due) = mpsc::channel(count.max(1));
    let sender = tokio::spawn(async move {
        let mut numbered = NumberedProducer::new();
        let mut ticks = interval(pause);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        for batch in batches {
            due_times.send(ticks.tick().await).await?;
            queue.send(numbered.next(batch)).await?;
        }
        anyhow::Ok(())
    });
    let mut acks = open_acks(channel, requests).await?;
    let mut latencies = Vec::with_capacity(count);
    while let Some(ack) = acks.message().await? {
        accepted(ack.result)?;
        if let Some(due) = due.recv().await {
            latencies.push(due.elapsed().as_secs_f64() * 1000.0);
        }
    }
    sender.await??;
    ensure!(latencies.len() == count, "{} of {count} batches were acknowledged", latencies.len());
    Ok(latencies)
}
