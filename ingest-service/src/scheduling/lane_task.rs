//! The task of a lane: takes batches from the queue, combines them into flushes and writes them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tracing::{Instrument as _, Span};

use super::affinity::LaneAffinity;
use super::batcher::Batcher;
use super::deferred::{Deferred, RETRY};
use crate::flush::QueuedBatch;
use crate::metrics::{self, Metrics};
use crate::writer::Writer;

/// Task of one lane.
pub(super) struct LaneTask {
    /// Index of this lane.
    pub(super) number: usize,
    pub(super) batches: mpsc::UnboundedReceiver<QueuedBatch>,
    pub(super) waiting_points: Arc<AtomicUsize>,
    pub(super) affinity: Arc<LaneAffinity>,
    pub(super) batcher: Batcher<QueuedBatch>,
    pub(super) deferred: Deferred,
    pub(super) flush_max_points: usize,
    pub(super) writer: Writer,
    pub(super) metrics: Metrics,
}

impl LaneTask {
    /// Writes flushes until the queue is closed and no batches are left.
    pub(super) async fn run(mut self) {
        while self.wait_for_batches().await {
            if self.deferred.retry_at().is_some_and(|retry_at| retry_at <= Instant::now()) {
                let retried = self.deferred.take(self.flush_max_points);
                let not_tried = self.write(retried).await;
                let pause = if not_tried.is_empty() { Duration::ZERO } else { RETRY };
                self.defer(not_tried, pause);
            }
            let flush = self.batcher.take(Instant::now());
            let flush = self.deferred.filter(flush);
            let not_tried = self.write(flush).await;
            if !not_tried.is_empty() {
                self.defer(not_tried, RETRY);
            }
        }
    }

    /// Defers batches that were not tried, and records their producers as deferred.
    fn defer(&mut self, not_tried: Vec<QueuedBatch>, pause: Duration) {
        self.deferred.put_back(not_tried, Instant::now() + pause);
        self.affinity.set_deferred(self.number, |producer_id| self.deferred.holds(producer_id));
    }

    /// Writes a flush. Returns the batches that were not tried.
    async fn write(&mut self, mut flush: Vec<QueuedBatch>) -> Vec<QueuedBatch> {
        if flush.is_empty() {
            return flush;
        }
        flush.iter_mut().for_each(|batch| batch.waiting = Span::none());
        let span = metrics::flush(flush.iter().map(|batch| &batch.span));
        let mut settled = LaneLoad::of(&flush);
        self.metrics.writer_busy(1);
        let not_tried = self.writer.write(flush).instrument(span).await;
        self.metrics.writer_busy(-1);
        settled.subtract(&LaneLoad::of(&not_tried));
        self.affinity.release(&settled.producers);
        self.waiting_points.fetch_sub(settled.points, Ordering::Relaxed);
        not_tried
    }

    /// Moves all queued batches into the batcher. If there are none, waits for the first, at most
    /// until deferred batches are due for a retry. Returns `false` once no more batches can arrive.
    async fn wait_for_batches(&mut self) -> bool {
        if self.batcher.is_empty() {
            let retry = self.deferred.retry_at();
            let received = match retry {
                None => self.batches.recv().await,
                Some(retry_at) => {
                    match tokio::time::timeout_at(retry_at.into(), self.batches.recv()).await {
                        Ok(None) => {
                            tokio::time::sleep_until(retry_at.into()).await;
                            None
                        }
                        Ok(received) => received,
                        Err(_) => None,
                    }
                }
            };
            match received {
                Some(batch) => self.push(batch),
                None if retry.is_none() => return false,
                None => {}
            }
        }
        while let Ok(batch) = self.batches.try_recv() {
            self.push(batch);
        }
        true
    }

    /// Adds a batch to the batcher.
    fn push(&mut self, batch: QueuedBatch) {
        let points = batch.points.len();
        let client = Arc::clone(batch.permit.client());
        let unary = batch.permit.is_unary();
        self.batcher.push(&client, batch, points, unary, Instant::now());
    }
}

/// Load of some batches on a lane: their points, and their producers with one entry per batch.
struct LaneLoad {
    points: usize,
    producers: Vec<String>,
}

impl LaneLoad {
    fn of(flush: &[QueuedBatch]) -> Self {
        Self {
            points: flush.iter().map(|batch| batch.points.len()).sum(),
            producers: flush
                .iter()
                .filter_map(QueuedBatch::producer_id)
                .map(str::to_owned)
                .collect(),
        }
    }

    /// Subtracts the load of a part of the flush.
    fn subtract(&mut self, part: &Self) {
        self.points -= part.points;
        for producer_id in &part.producers {
            if let Some(at) = self.producers.iter().position(|it| it == producer_id) {
                self.producers.swap_remove(at);
            }
        }
    }
}
