//! Streams that send a feed and count the acknowledged points.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::ensure;
use shared::time;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tonic::transport::Channel;

use super::feed::{BatchTemplate, FeedFormat, Fleet};
use crate::bench::ingest::calls::{STREAMS, WINDOW, accepted, open_acks};
use crate::bench::ingest::shape::BATCH_POINTS;
use crate::bench::ingest::wire::NumberedProducer;
use crate::service::Service;

/// Counters of the acknowledged points.
#[derive(Default)]
pub(super) struct Progress {
    points: AtomicU64,
    /// Milliseconds from the due time of each batch until its acknowledgement, since the last call
    /// of `take_latencies`.
    latencies: Mutex<Vec<f64>>,
}

impl Progress {
    pub(super) fn points(&self) -> u64 {
        self.points.load(Ordering::Relaxed)
    }

    pub(super) fn take_latencies(&self) -> Vec<f64> {
        std::mem::take(&mut self.latencies.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn add(&self, points: u64, due: Instant) {
        self.points.fetch_add(points, Ordering::Relaxed);
        let latency = due.elapsed().as_secs_f64() * 1000.0;
        self.latencies.lock().unwrap_or_else(PoisonError::into_inner).push(latency);
    }
}

/// Sends for `length`, at `rate` points per second or as fast as batches are acknowledged.
pub(super) async fn send(
    service: &Service,
    fleet: Fleet,
    rate: Option<f64>,
    length: Duration,
    progress: &Arc<Progress>,
) -> anyhow::Result<()> {
    let mut streams: Vec<Vec<BatchTemplate>> = (0..STREAMS).map(|_| Vec::new()).collect();
    for (at, template) in fleet.batches(FeedFormat::Series).into_iter().enumerate() {
        streams[at % STREAMS].push(template);
    }
    let pause = rate.map(|rate| Duration::from_secs_f64((BATCH_POINTS * STREAMS) as f64 / rate));
    let end = Instant::now() + length;
    let mut senders = JoinSet::new();
    for (channel, templates) in service.connect_many(STREAMS).await?.into_iter().zip(streams) {
        senders.spawn(stream(channel, templates, pause, end, Arc::clone(progress)));
    }
    while let Some(sent) = senders.join_next().await {
        sent??;
    }
    Ok(())
}

/// Sends the templates in turn as the batches of one producer, with a window of unacknowledged
/// batches.
async fn stream(
    channel: Channel,
    mut templates: Vec<BatchTemplate>,
    pause: Option<Duration>,
    end: Instant,
    progress: Arc<Progress>,
) -> anyhow::Result<()> {
    let window = Arc::new(Semaphore::new(WINDOW));
    let free = Arc::clone(&window);
    let (queue, requests) = mpsc::channel(WINDOW);
    let (due_times, mut due) = mpsc::channel(WINDOW);
    let sender = tokio::spawn(async move {
        let mut numbered = NumberedProducer::new();
        let mut ticks = pause.map(interval);
        if let Some(ticks) = &mut ticks {
            ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        }
        let mut next = 0;
        let mut sent = 0_u64;
        while Instant::now() < end {
            let tick = match &mut ticks {
                Some(ticks) => Some(ticks.tick().await),
                None => None,
            };
            free.acquire().await?.forget();
            due_times.send(tick.unwrap_or_else(Instant::now)).await?;
            let batch = templates[next].fill(time::now_micros());
            queue.send(numbered.next(batch)).await?;
            next = (next + 1) % templates.len();
            sent += 1;
        }
        anyhow::Ok(sent)
    });
    let mut acks = open_acks(channel, requests).await?;
    let mut acknowledged = 0;
    while let Some(ack) = acks.message().await? {
        let points = accepted(ack.result)?;
        acknowledged += 1;
        window.add_permits(1);
        if let Some(due) = due.recv().await {
            progress.add(points, due);
        }
    }
    let sent = sender.await??;
    ensure!(acknowledged == sent, "{acknowledged} of {sent} batches were acknowledged");
    Ok(())
}
