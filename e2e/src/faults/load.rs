//! Clients that send at once, numbered and unnumbered ones side by side.

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

/// Within which time something must go on.
pub(super) const PATIENCE: Duration = Duration::from_secs(90);
/// How long before now the points lie, in microseconds.
const AGE: i64 = 3_600_000_000;

/// How much is sent.
pub(crate) struct Shape {
    pub(crate) numbered: usize,
    pub(crate) unnumbered: usize,
    /// Batches that a client has in flight at most.
    pub(crate) window: u64,
    pub(crate) batch_points: u64,
}

impl Shape {
    /// Flushes on both sides of the size from which they are copied, and not more than many rounds can bear.
    pub(crate) const STEADY: Self =
        Self { numbered: 6, unnumbered: 2, window: 8, batch_points: 2_000 };
    /// Flushes too small to be copied.
    pub(crate) const LIGHT: Self =
        Self { numbered: 3, unnumbered: 1, window: 4, batch_points: 100 };
}

/// Clients at work.
pub(crate) struct Load {
    pub(super) journal: Arc<Journal>,
    route: watch::Sender<String>,
    stop: CancellationToken,
    clients: JoinSet<anyhow::Result<()>>,
}

impl Load {
    /// Sends to one instance.
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

    /// Sends to one instance, so many streams over one connection.
    ///
    /// # Errors
    /// The address is none.
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

    /// Each producer twice, once at either instance.
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
        let (journal, stop) = (Arc::clone(&self.journal), self.stop.clone());
        let client =
            Client { content, window, journal, route, shared, stop, progress: Progress::default() };
        self.clients.spawn(client.run());
    }

    /// Makes all clients move to another instance.
    pub(crate) fn go_to(&self, url: &str) {
        self.route.send_replace(url.to_owned());
    }

    /// Waits until a number of batches, drawn from a range so that a fault strikes at no particular one, is acknowledged.
    ///
    /// # Errors
    /// Nothing goes on, or a client found the contract broken.
    pub(crate) async fn progress(&mut self) -> anyhow::Result<()> {
        let mut acknowledged = self.journal.watch_acknowledged();
        let wanted = *acknowledged.borrow() + rand::random_range(20..100);
        tokio::select! {
            reached = tokio::time::timeout(PATIENCE, acknowledged.wait_for(|now| *now >= wanted)) => {
                reached.with_context(|| format!("nothing goes on after {PATIENCE:?}"))??;
                Ok(())
            }
            Some(ended) = self.clients.join_next() => match ended? {
                Ok(()) => bail!("a client ended before it was stopped"),
                Err(error) => Err(error),
            }
        }
    }

    /// Waits until every client that numbers its batches has one more of them acknowledged.
    ///
    /// # Errors
    /// One of them does not go on.
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
        tokio::time::timeout(PATIENCE, all_went_on).await.context("a client does not go on")?
    }

    /// Lets the clients end: nothing new is sent, and what was sent is waited for.
    ///
    /// # Errors
    /// As in `progress`.
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
                    moved.with_context(|| format!("batches are not acknowledged after {PATIENCE:?}"))??;
                }
            }
        }
        Arc::into_inner(self.journal).context("somebody still holds the journal")
    }
}

/// What a new device sends.
pub(super) fn content(numbered: bool, batch_points: u64) -> Content {
    let name = if numbered { "fault-numbered" } else { "fault-unnumbered" };
    Content { device_id: unique(name), numbered, began: now() - AGE, batch_points }
}
