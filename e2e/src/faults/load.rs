//! Clients that send in parallel, some numbered and some unnumbered.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};

use super::client::{Client, Progress};
use super::content::Content;
use super::journal::Journal;
use crate::{now, unique};

/// Time limit for progress.
pub(super) const PATIENCE: Duration = Duration::from_secs(90);
/// Age of the points, in microseconds.
const AGE: i64 = 3_600_000_000;

/// Amount of load.
pub(crate) struct Shape {
    pub(crate) numbered: usize,
    pub(crate) unnumbered: usize,
    /// Limit on the batches that a client has in flight.
    pub(crate) window: u64,
    pub(crate) batch_points: u64,
}

impl Shape {
    /// Flushes on both sides of the size from which COPY is used, and few enough points for many
    /// rounds.
    pub(crate) const STEADY: Self =
        Self { numbered: 6, unnumbered: 2, window: 8, batch_points: 2_000 };
    /// Flushes too small for COPY.
    pub(crate) const LIGHT: Self =
        Self { numbered: 3, unnumbered: 1, window: 4, batch_points: 100 };
}

/// Running clients.
pub(crate) struct Load {
    pub(super) journal: Arc<Journal>,
    route: watch::Sender<String>,
    stop: CancellationToken,
    clients: JoinSet<anyhow::Result<()>>,
}

impl Load {
    /// Starts clients that all send to one instance.
    pub(crate) fn start(url: &str, shape: &Shape) -> Self {
        let mut load = Self::idle(url);
        for index in 0..shape.numbered + shape.unnumbered {
            load.add(
                content(index < shape.numbered, shape.batch_points),
                shape.window,
                load.route.subscribe(),
                None,
            );
        }
        load
    }

    /// Starts clients that all send to one instance, with `streams` of them on each connection.
    ///
    /// # Errors
    /// Fails if `url` is invalid.
    pub(crate) fn start_sharing(url: &str, shape: &Shape, streams: usize) -> anyhow::Result<Self> {
        let mut load = Self::idle(url);
        let mut channel = None;
        for index in 0..shape.numbered + shape.unnumbered {
            if index % streams == 0 {
                channel = Some(Endpoint::from_shared(url.to_owned())?.connect_lazy());
            }
            let content = content(index < shape.numbered, shape.batch_points);
            load.add(content, shape.window, load.route.subscribe(), channel.clone());
        }
        Ok(load)
    }

    /// Starts each producer twice, once at each instance.
    pub(super) fn start_twice(urls: [&str; 2], shape: &Shape) -> Self {
        let mut load = Self::idle(urls[0]);
        for _ in 0..shape.numbered {
            let content = content(true, shape.batch_points);
            for url in urls {
                load.add(
                    content.clone(),
                    shape.window,
                    watch::Sender::new(url.to_owned()).subscribe(),
                    None,
                );
            }
        }
        load
    }

    fn idle(url: &str) -> Self {
        let route = watch::Sender::new(url.to_owned());
        Self {
            journal: Arc::new(Journal::new()),
            route,
            stop: CancellationToken::new(),
            clients: JoinSet::new(),
        }
    }

    fn add(
        &mut self,
        content: Content,
        window: u64,
        route: watch::Receiver<String>,
        shared: Option<Channel>,
    ) {
        let journal = Arc::clone(&self.journal);
        let stop = self.stop.clone();
        let client =
            Client { content, window, journal, route, shared, stop, progress: Progress::default() };
        self.clients.spawn(client.run());
    }

    /// Moves all clients to another instance.
    pub(crate) fn go_to(&self, url: &str) {
        self.route.send_replace(url.to_owned());
    }

    /// Waits until a random number of batches is acknowledged. The number is random so that a fault
    /// strikes at no particular batch.
    ///
    /// # Errors
    /// Fails if progress stops, or if a client found the contract broken.
    pub(crate) async fn progress(&mut self) -> anyhow::Result<()> {
        let mut acknowledged = self.journal.watch_acknowledged();
        let wanted = *acknowledged.borrow() + rand::random_range(20..100);
        let reached = acknowledged.wait_for(|now| *now >= wanted);
        tokio::select! {
            reached = tokio::time::timeout(PATIENCE, reached) => {
                reached.with_context(|| {
                    format!("too few batches acknowledged within {PATIENCE:?}")
                })??;
                Ok(())
            }
            Some(ended) = self.clients.join_next() => match ended? {
                Ok(()) => bail!("a client ended before it was stopped"),
                Err(error) => Err(error),
            }
        }
    }

    /// Waits until every client that numbers its batches has one more acknowledged.
    ///
    /// # Errors
    /// Fails if one of them makes no progress.
    pub(super) async fn every_numbered_client_goes_on(&self) -> anyhow::Result<()> {
        let before = self.journal.acknowledged_by_device();
        let mut acknowledged = self.journal.watch_acknowledged();
        let all_went_on = async {
            loop {
                let now = self.journal.acknowledged_by_device();
                if before.iter().all(|(device, count)| now.get(device) > Some(count)) {
                    return anyhow::Ok(());
                }
                acknowledged.changed().await?;
            }
        };
        tokio::time::timeout(PATIENCE, all_went_on)
            .await
            .context("a numbered client makes no progress")?
    }

    /// Stops the clients and waits until everything sent is acknowledged.
    ///
    /// # Errors
    /// Fails for the same reasons as `progress`.
    pub(crate) async fn finish(mut self) -> anyhow::Result<Journal> {
        self.stop.cancel();
        let mut acknowledged = self.journal.watch_acknowledged();
        loop {
            tokio::select! {
                ended = self.clients.join_next() => match ended {
                    Some(ended) => ended??,
                    None => break,
                },
                moved = tokio::time::timeout(PATIENCE, acknowledged.changed()) => {
                    moved.with_context(|| {
                        format!("no batch was acknowledged within {PATIENCE:?}")
                    })??;
                }
            }
        }
        Arc::into_inner(self.journal).context("a client still holds the journal")
    }
}

/// Returns the content of a new device's batches.
pub(super) fn content(numbered: bool, batch_points: u64) -> Content {
    let name = if numbered { "fault-numbered" } else { "fault-unnumbered" };
    Content { device_id: unique(name), numbered, began: now() - AGE, batch_points }
}
