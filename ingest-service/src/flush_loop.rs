//! Lanes: each has a queue, a batcher and a writer, in a task of its own. Admission bounds what they hold together.
//!
//! Group commit: while a writer is busy, batches pile up; when it is free, all that wait make the next flush. The last lane, the
//! quick one, is for clients that hold little: they wait for no large flush. Knows no SQL.
//!
//! Policy:
//!
//! - Admission goes to the client that holds the fewest points. One client holds at most three
//!   quarters of the queue. (`flush_loop/room.rs`)
//! - Batches of streams wait for admission without a limit. Unary calls wait 250 ms and are then
//!   answered UNAVAILABLE. (`flush_loop/room.rs`)
//! - A batch goes to the lane with the fewest points. A producer stays in its lane while it has
//!   batches under way. (`flush_loop/seats.rs`)
//! - The quick lane serves clients that hold at most 1/50 of a flush (2,000 points). Its flushes
//!   have at most 1/20 (5,000 points).
//! - A flush takes from each client in turn what arrived within 1 s of its first batch. One client
//!   fills at most a quarter while others wait. (`batcher.rs`)
//! - A unary call goes before what its client's streams sent in the preceding 500 ms. While one
//!   waits, the flush is halved. (`batcher.rs`)
//! - Batches of producers with locked ledger rows are tried again every 250 ms.
//!   (`flush_loop/deferred.rs`)
//!
//! There is no flush timer. Under light load a flush is one batch and starts at once; under heavy
//! load flushes grow by themselves.

mod deferred;
mod room;
mod seats;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use shared::config::DatabaseConfig;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tracing::{Instrument as _, Span};

use crate::batcher::Batcher;
use crate::config::FlushConfig;
use crate::flush::QueuedBatch;
use crate::metrics::{self, Metrics};
use crate::writer::Writer;
use deferred::{Deferred, RETRY};
use room::Admission;
pub(crate) use room::Room;
use seats::Seats;

/// Clients that hold at most this part of a flush hold little.
const LITTLE: usize = 50;
/// This part of a flush is the most that the quick lane writes at once.
const QUICK: usize = 20;
/// And this part the other ones, while unary calls wait.
const HASTY: usize = 2;

/// The way into the lanes; cheap to clone. The lanes end when the last clone is dropped and their queues are empty.
#[derive(Clone)]
pub(crate) struct Lanes {
    admission: Admission,
    lanes: Arc<[Lane]>,
    seats: Arc<Seats>,
    /// Points that are little for a client to hold.
    little: usize,
    flush_max_points: usize,
}

struct Lane {
    /// Unbounded, because admission bounds what goes in.
    queue: mpsc::UnboundedSender<QueuedBatch>,
    waiting_points: Arc<AtomicUsize>,
}

impl Lanes {
    /// Starts a task per writer, and one for the quick lane; the set is to be joined after the last `Lanes` is dropped.
    pub(crate) fn start(
        database: &DatabaseConfig,
        config: &FlushConfig,
        metrics: &Metrics,
    ) -> (Self, JoinSet<()>) {
        let mut tasks = JoinSet::new();
        let seats = Arc::new(Seats::default());
        let flush_max_points = config.flush_max_points.get();
        let quick = flush_max_points.div_ceil(QUICK);
        let most = [flush_max_points, flush_max_points.div_ceil(HASTY)];
        let all = std::iter::repeat_n(most, config.writers.get()).chain([[quick; 2]]).enumerate();
        let lanes = all.map(|(number, [most, hasty_most])| {
            let (queue, batches) = mpsc::unbounded_channel();
            let waiting_points = Arc::new(AtomicUsize::new(0));
            let task = LaneTask {
                number,
                batches,
                waiting_points: Arc::clone(&waiting_points),
                seats: Arc::clone(&seats),
                batcher: Batcher::new(most, hasty_most, config.flush_max_delay),
                deferred: Deferred::default(),
                flush_max_points: most,
                writer: Writer::new(database.clone(), config, metrics.clone()),
                metrics: metrics.clone(),
            };
            tasks.spawn(task.run());
            Lane { queue, waiting_points }
        });
        let lanes: Arc<[Lane]> = lanes.collect();
        let admission = Admission::new(config.queue_max_points.get());
        let free = admission.clone();
        metrics.observe_queue(config.queue_max_points.get(), move || free.free());
        metrics.observe_writers(lanes.len());
        (
            Self {
                admission,
                lanes,
                seats,
                little: flush_max_points.div_ceil(LITTLE),
                flush_max_points,
            },
            tasks,
        )
    }

    /// Waits for room for so many points of a client: this is where backpressure begins. With patience, none where its batch
    /// would probably not be settled within that time.
    /// A producer whose batches are deferred waits before it asks.
    pub(crate) async fn room_for(
        &self,
        client: Arc<str>,
        producer_id: Option<&str>,
        points: usize,
        patience: Option<Duration>,
    ) -> Option<Room> {
        if let Some(producer_id) = producer_id {
            let may_ask = self.seats.until_not_deferred(producer_id);
            match patience {
                Some(patience) => tokio::time::timeout(patience, may_ask).await.ok()?,
                None => may_ask.await,
            }
        }
        self.admission.room_for(client, points, patience).await
    }

    /// Queues a batch. While a producer has batches under way, all go through one lane, in order; whatever else comes goes to
    /// the idlest. A producer that no longer holds little leaves the quick lane: this waits until it has nothing there.
    pub(crate) async fn queue(&self, batch: QueuedBatch) {
        let open = if batch.room.held_by_client() <= self.little {
            self.lanes.len()
        } else {
            self.lanes.len() - 1
        };
        let lane = match &batch.numbering {
            Some(numbering) => {
                let idlest =
                    |producers: &BTreeMap<usize, usize>| self.lane_for_producer(open, producers);
                self.seats.take(&numbering.producer_id, |lane| lane < open, idlest).await
            }
            None => self.idlest(open),
        };
        let lane = &self.lanes[lane];
        lane.waiting_points.fetch_add(batch.points.len(), Ordering::Relaxed);
        // A lane outlives its senders; if its task died, the dropped outcome tells the stream.
        let _ = lane.queue.send(batch);
    }

    /// Of the lanes that are open to a batch: the last one where none has more to do.
    fn idlest(&self, open: usize) -> usize {
        let waiting_points =
            |&lane: &usize| self.lanes[lane].waiting_points.load(Ordering::Relaxed);
        (0..open).rev().min_by_key(waiting_points).unwrap_or(0)
    }
}

impl Lanes {
    /// Returns the lane for a producer that has none. It may stay there for as long as it sends, so lanes whose queues differ by
    /// less than a flush are compared by how many producers they have: of four that begin at once, two go to each of two lanes.
    fn lane_for_producer(&self, open: usize, producers: &BTreeMap<usize, usize>) -> usize {
        let load = |&lane: &usize| {
            let points = self.lanes[lane].waiting_points.load(Ordering::Relaxed);
            (points / self.flush_max_points, producers.get(&lane).copied().unwrap_or(0), points)
        };
        (0..open).rev().min_by_key(load).unwrap_or(0)
    }
}

struct LaneTask {
    /// Its index among the lanes.
    number: usize,
    batches: mpsc::UnboundedReceiver<QueuedBatch>,
    waiting_points: Arc<AtomicUsize>,
    seats: Arc<Seats>,
    batcher: Batcher<QueuedBatch>,
    deferred: Deferred,
    flush_max_points: usize,
    writer: Writer,
    metrics: Metrics,
}

impl LaneTask {
    async fn run(mut self) {
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

    fn defer(&mut self, not_tried: Vec<QueuedBatch>, pause: Duration) {
        self.deferred.put_back(not_tried, Instant::now() + pause);
        self.seats.set_deferred(self.number, |producer_id| self.deferred.holds(producer_id));
    }

    /// Writes a flush. Returns the batches that could not be tried.
    async fn write(&mut self, mut flush: Vec<QueuedBatch>) -> Vec<QueuedBatch> {
        if flush.is_empty() {
            return flush;
        }
        flush.iter_mut().for_each(|batch| batch.waiting = Span::none());
        let span = metrics::flush(flush.iter().map(|batch| &batch.span));
        let mut settled = Load::of(&flush);
        self.metrics.writer_busy(1);
        let not_tried = self.writer.write(flush).instrument(span).await;
        self.metrics.writer_busy(-1);
        settled.subtract(&Load::of(&not_tried));
        self.seats.leave(&settled.producers);
        self.waiting_points.fetch_sub(settled.points, Ordering::Relaxed);
        not_tried
    }

    /// Takes in all that has arrived. Waits if nothing has, at most until batches that were set aside are to be tried again.
    /// Returns `false` when nothing can come any more.
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

    fn push(&mut self, batch: QueuedBatch) {
        let points = batch.points.len();
        let client = Arc::clone(batch.room.client());
        let hasty = batch.room.is_hasty();
        self.batcher.push(&client, batch, points, hasty, Instant::now());
    }
}

/// What a flush takes of a lane: its points, and its producers, one entry for each batch.
struct Load {
    points: usize,
    producers: Vec<String>,
}

impl Load {
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

    /// Takes away the load of batches that are part of this one.
    fn subtract(&mut self, part: &Self) {
        self.points -= part.points;
        for producer_id in &part.producers {
            if let Some(at) = self.producers.iter().position(|it| it == producer_id) {
                self.producers.swap_remove(at);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ack::PendingAck;
    use crate::points::Points;
    use crate::validate::{Numbering, Rejections};

    const LITTLE_POINTS: usize = 20;
    const QUICK_LANE: usize = 2;

    /// Two lanes and the quick one; nobody writes what is queued.
    fn lanes() -> (Lanes, Vec<mpsc::UnboundedReceiver<QueuedBatch>>) {
        let (lanes, queues): (Vec<_>, _) = (0..=QUICK_LANE)
            .map(|_| {
                let (queue, batches) = mpsc::unbounded_channel();
                (Lane { queue, waiting_points: Arc::default() }, batches)
            })
            .unzip();
        let admission = Admission::new(1_000);
        (
            Lanes {
                admission,
                lanes: lanes.into(),
                seats: Arc::default(),
                little: LITTLE_POINTS,
                flush_max_points: 1_000,
            },
            queues,
        )
    }

    async fn batch(
        lanes: &Lanes,
        client: &str,
        producer: Option<&str>,
        count: usize,
    ) -> QueuedBatch {
        let mut points = Points::with_capacity(count);
        (0..count).for_each(|_| points.push(0, 0, 0.0));
        let numbering = producer.map(|id| Numbering {
            producer_id: id.to_owned(),
            epoch: 0,
            sequence: 1,
            content_hash: 0,
        });
        let room = lanes.room_for(client.into(), None, count, None).await.unwrap();
        let (_, outcome) = PendingAck::new(tokio::time::Instant::now());
        let (bytes, span) = (shared::quotas::HeldBytes::default(), Span::none());
        let rejections = Rejections::default();
        let waiting = span.clone();
        QueuedBatch {
            numbering,
            points,
            series_ids: vec![1],
            rejections,
            outcome,
            room,
            bytes,
            waiting,
            span,
        }
    }

    /// Which lane has got a batch since.
    fn taken(queues: &mut [mpsc::UnboundedReceiver<QueuedBatch>]) -> Option<(usize, QueuedBatch)> {
        queues.iter_mut().enumerate().find_map(|(lane, queue)| Some((lane, queue.try_recv().ok()?)))
    }

    #[tokio::test]
    async fn only_whoever_holds_little_goes_through_the_quick_lane() {
        let (lanes, mut queues) = lanes();
        let mut under_way = Vec::new();
        for (client, points, expected) in [
            ("a", LITTLE_POINTS, 2),
            ("a", 1, 1),
            ("b", LITTLE_POINTS + 1, 0),
            ("b", 1, 1),
            ("c", 1, 1),
            ("d", 9, 1),
        ] {
            lanes.queue(batch(&lanes, client, None, points).await).await;
            let (lane, batch) = taken(&mut queues).unwrap();
            assert_eq!(lane, expected, "{points} points of {client}");
            under_way.push(batch);
        }
        lanes.lanes[0].waiting_points.store(100, Ordering::Relaxed);
        lanes.lanes[1].waiting_points.store(100, Ordering::Relaxed);
        lanes.queue(batch(&lanes, "e", None, 1).await).await;
        assert_eq!(taken(&mut queues).unwrap().0, QUICK_LANE);
    }

    #[tokio::test]
    async fn a_producer_that_no_longer_holds_little_leaves_the_quick_lane_once_nothing_of_it_is_there()
     {
        let (lanes, mut queues) = lanes();
        lanes.queue(batch(&lanes, "client", Some("producer"), LITTLE_POINTS).await).await;
        let (lane, held) = taken(&mut queues).unwrap();
        assert_eq!(lane, QUICK_LANE);
        let queued = lanes.queue(batch(&lanes, "client", Some("producer"), 1).await);
        tokio::pin!(queued);
        assert!(
            tokio::time::timeout(std::time::Duration::ZERO, &mut queued).await.is_err(),
            "it keeps its order"
        );
        drop(held);
        lanes.seats.leave(&["producer".to_owned()]);
        queued.await;
        assert_ne!(taken(&mut queues).unwrap().0, QUICK_LANE);
    }
}
