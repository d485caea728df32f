//! Entrance to the lanes: admits a batch, chooses its lane, and queues it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use shared::config::DatabaseConfig;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::admission::{Admission, Permit};
use super::affinity::LaneAffinity;
use super::batcher::Batcher;
use super::deferred::Deferred;
use super::lane_task::LaneTask;
use crate::config::FlushConfig;
use crate::flush::QueuedBatch;
use crate::metrics::Metrics;
use crate::writer::Writer;

/// A client that holds permits for at most 1/50 of a flush counts as small.
const SMALL_CLIENT_DIVISOR: usize = 50;
/// A flush of the quick lane has at most 1/20 of the points of a full flush.
const QUICK_FLUSH_DIVISOR: usize = 20;
/// While unary calls wait, a flush of the other lanes has at most 1/2 of the points of a full
/// flush.
const UNARY_FLUSH_DIVISOR: usize = 2;

/// Entrance to the lanes; cheap to clone. The lanes end once the last clone is dropped and their
/// queues are empty.
#[derive(Clone)]
pub(crate) struct Lanes {
    admission: Admission,
    lanes: Arc<[Lane]>,
    affinity: Arc<LaneAffinity>,
    /// Maximum number of points held by a small client.
    small_client_points: usize,
    flush_max_points: usize,
}

/// The sending side of a lane.
struct Lane {
    /// Unbounded, because admission limits the points that enter.
    queue: mpsc::UnboundedSender<QueuedBatch>,
    waiting_points: Arc<AtomicUsize>,
}

impl Lanes {
    /// Starts one task per writer and one for the quick lane. Join the set after dropping the last
    /// `Lanes`.
    pub(crate) fn start(
        database: &DatabaseConfig,
        config: &FlushConfig,
        metrics: &Metrics,
    ) -> (Self, JoinSet<()>) {
        let mut tasks = JoinSet::new();
        let affinity = Arc::new(LaneAffinity::default());
        let flush_max_points = config.flush_max_points.get();
        let quick = flush_max_points.div_ceil(QUICK_FLUSH_DIVISOR);
        let most = [flush_max_points, flush_max_points.div_ceil(UNARY_FLUSH_DIVISOR)];
        let all = std::iter::repeat_n(most, config.writers.get()).chain([[quick; 2]]).enumerate();
        let lanes = all.map(|(number, [most, unary_most])| {
            let (queue, batches) = mpsc::unbounded_channel();
            let waiting_points = Arc::new(AtomicUsize::new(0));
            let task = LaneTask {
                number,
                batches,
                waiting_points: Arc::clone(&waiting_points),
                affinity: Arc::clone(&affinity),
                batcher: Batcher::new(most, unary_most, config.flush_max_delay),
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
                affinity,
                small_client_points: flush_max_points.div_ceil(SMALL_CLIENT_DIVISOR),
                flush_max_points,
            },
            tasks,
        )
    }

    /// Waits for a permit for the points of a client's batch. Backpressure begins here.
    ///
    /// With a timeout, returns `None` if the batch would probably not be settled within it. A
    /// producer whose batches are deferred waits before it requests a permit.
    pub(crate) async fn acquire(
        &self,
        client: Arc<str>,
        producer_id: Option<&str>,
        points: usize,
        timeout: Option<Duration>,
    ) -> Option<Permit> {
        let began = Instant::now();
        if let Some(producer_id) = producer_id {
            let not_deferred = self.affinity.wait_until_not_deferred(producer_id);
            match timeout {
                Some(timeout) => tokio::time::timeout(timeout, not_deferred).await.ok()?,
                None => not_deferred.await,
            }
        }
        let timeout = timeout.map(|timeout| timeout.saturating_sub(began.elapsed()));
        self.admission.acquire(client, points, timeout).await
    }

    /// Queues a batch in a lane.
    ///
    /// All unsettled batches of a producer are in one lane, in order. Other batches go to the lane
    /// with the fewest points. A producer whose client is no longer small leaves the quick lane;
    /// this function then waits until its batches there are settled.
    pub(crate) async fn queue(&self, batch: QueuedBatch) {
        let open = if batch.permit.held_by_client() <= self.small_client_points {
            self.lanes.len()
        } else {
            self.lanes.len() - 1
        };
        let lane = match &batch.numbering {
            Some(numbering) => {
                let choose =
                    |producers: &BTreeMap<usize, usize>| self.lane_for_producer(open, producers);
                self.affinity.assign(&numbering.producer_id, |lane| lane < open, choose).await
            }
            None => self.least_loaded(open),
        };
        let lane = &self.lanes[lane];
        lane.waiting_points.fetch_add(batch.points.len(), Ordering::Relaxed);
        // A lane outlives its senders. If its task panicked, the dropped outcome ends the call.
        let _ = lane.queue.send(batch);
    }

    /// Returns the lane with the fewest points among the first `open` lanes, the last one in a tie.
    fn least_loaded(&self, open: usize) -> usize {
        let waiting_points =
            |&lane: &usize| self.lanes[lane].waiting_points.load(Ordering::Relaxed);
        (0..open).rev().min_by_key(waiting_points).unwrap_or(0)
    }

    /// Returns the lane for a producer without one.
    ///
    /// A producer may stay in its lane as long as it sends. Lanes whose queues differ by less than
    /// a flush are therefore compared by their number of producers. Four producers that start
    /// together are spread over two lanes evenly.
    fn lane_for_producer(&self, open: usize, producers: &BTreeMap<usize, usize>) -> usize {
        let load = |&lane: &usize| {
            let points = self.lanes[lane].waiting_points.load(Ordering::Relaxed);
            (points / self.flush_max_points, producers.get(&lane).copied().unwrap_or(0), points)
        };
        (0..open).rev().min_by_key(load).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use tracing::Span;

    use super::*;
    use crate::ack::PendingAck;
    use crate::numbering::Numbering;
    use crate::points::Points;
    use crate::validate::Rejections;

    const SMALL_CLIENT_POINTS: usize = 20;
    const QUICK_LANE: usize = 2;

    /// Returns two lanes and the quick lane, without tasks, and the receivers of their queues.
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
                affinity: Arc::default(),
                small_client_points: SMALL_CLIENT_POINTS,
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
        let permit = lanes.acquire(client.into(), None, count, None).await.unwrap();
        let (_, outcome) = PendingAck::new(Instant::now());
        let bytes = shared::quotas::HeldBytes::default();
        let span = Span::none();
        let rejections = Rejections::default();
        let waiting = span.clone();
        QueuedBatch {
            numbering,
            points,
            series_ids: vec![1],
            rejections,
            outcome,
            permit,
            bytes,
            waiting,
            span,
        }
    }

    /// Takes the next queued batch and returns it with the number of its lane.
    fn next_queued(
        queues: &mut [mpsc::UnboundedReceiver<QueuedBatch>],
    ) -> Option<(usize, QueuedBatch)> {
        queues.iter_mut().enumerate().find_map(|(lane, queue)| Some((lane, queue.try_recv().ok()?)))
    }

    #[tokio::test]
    async fn only_small_clients_use_the_quick_lane() {
        let (lanes, mut queues) = lanes();
        let mut unsettled = Vec::new();
        for (client, points, expected) in [
            ("a", SMALL_CLIENT_POINTS, 2),
            ("a", 1, 1),
            ("b", SMALL_CLIENT_POINTS + 1, 0),
            ("b", 1, 1),
            ("c", 1, 1),
            ("d", 9, 1),
        ] {
            lanes.queue(batch(&lanes, client, None, points).await).await;
            let (lane, batch) = next_queued(&mut queues).unwrap();
            assert_eq!(lane, expected, "{points} points of {client}");
            unsettled.push(batch);
        }
        lanes.lanes[0].waiting_points.store(100, Ordering::Relaxed);
        lanes.lanes[1].waiting_points.store(100, Ordering::Relaxed);
        lanes.queue(batch(&lanes, "e", None, 1).await).await;
        assert_eq!(next_queued(&mut queues).unwrap().0, QUICK_LANE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_unary_batch_waits_once_for_its_deferred_producer_and_its_permit() {
        const TIMEOUT: Duration = Duration::from_millis(250);
        let (lanes, _queues) = lanes();
        lanes.queue(batch(&lanes, "client", Some("producer"), 1).await).await;
        let others = lanes.acquire("other".into(), None, 999, None).await.unwrap();
        lanes.affinity.set_deferred(QUICK_LANE, |_| true);
        let began = Instant::now();
        let until_not_deferred = async {
            tokio::time::sleep(TIMEOUT / 2).await;
            lanes.affinity.set_deferred(QUICK_LANE, |_| false);
        };
        let acquired = lanes.acquire("client".into(), Some("producer"), 900, Some(TIMEOUT));
        assert!(tokio::join!(acquired, until_not_deferred).0.is_none(), "nothing is free");
        assert_eq!(began.elapsed(), TIMEOUT);
        drop(others);
    }

    #[tokio::test]
    async fn a_producer_of_a_grown_client_leaves_the_quick_lane_once_its_batches_there_are_settled()
    {
        let (lanes, mut queues) = lanes();
        lanes.queue(batch(&lanes, "client", Some("producer"), SMALL_CLIENT_POINTS).await).await;
        let (lane, held) = next_queued(&mut queues).unwrap();
        assert_eq!(lane, QUICK_LANE);
        let queued = lanes.queue(batch(&lanes, "client", Some("producer"), 1).await);
        tokio::pin!(queued);
        assert!(
            tokio::time::timeout(std::time::Duration::ZERO, &mut queued).await.is_err(),
            "the batch waits, so that the order is kept"
        );
        drop(held);
        lanes.affinity.release(&["producer".to_owned()]);
        queued.await;
        assert_ne!(next_queued(&mut queues).unwrap().0, QUICK_LANE);
    }
}
