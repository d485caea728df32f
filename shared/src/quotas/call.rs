//! One call of a client, and what it holds.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tonic::Status;

use super::client::{Client, Limits, lock};
use super::{Limit, OverLimit, Quotas};
use crate::status;

tokio::task_local! {
    static CURRENT: CallQuota;
}

/// A call that counts against its client's limits until the last clone is dropped. Empty outside a call, where nothing is
/// limited.
#[derive(Clone, Debug, Default)]
pub struct CallQuota(Option<Arc<Call>>);

#[derive(Debug)]
struct Call {
    quotas: Quotas,
    client: Arc<Client>,
    limits: Limits,
    /// Whether its client sends a stream of messages: then it is held back where a unary call is refused.
    is_stream: bool,
    /// Of its messages that nobody has asked about yet.
    held: Mutex<VecDeque<HeldBytes>>,
}

/// Bytes of a message in flight; given back when this is dropped.
#[derive(Debug, Default)]
pub struct HeldBytes {
    _of_client: Option<OwnedSemaphorePermit>,
    _of_all: Option<OwnedSemaphorePermit>,
}

impl Drop for Call {
    fn drop(&mut self) {
        self.client.calls.fetch_sub(1, Ordering::Relaxed);
    }
}

impl CallQuota {
    pub(super) fn new(
        quotas: Quotas,
        client: Arc<Client>,
        limits: Limits,
        is_stream: bool,
    ) -> Self {
        Self(Some(Arc::new(Call { quotas, client, limits, is_stream, held: Mutex::default() })))
    }

    /// That of the call that is being handled; to be asked for before another task is begun.
    #[must_use]
    pub fn current() -> Self {
        CURRENT.try_with(Self::clone).unwrap_or_default()
    }

    pub(super) fn scope<T>(&self, work: impl FnOnce() -> T) -> T {
        CURRENT.sync_scope(self.clone(), work)
    }

    pub(super) fn scope_future<F: Future>(self, work: F) -> impl Future<Output = F::Output> {
        CURRENT.scope(self, work)
    }

    /// Who calls: one name for all calls of a client.
    #[must_use]
    pub fn client(&self) -> Arc<str> {
        self.0.as_ref().map_or_else(|| "".into(), |call| Arc::clone(&call.client.name))
    }

    /// The bytes of the message that was read last, to be kept until it is settled. To be asked for once a message.
    #[must_use]
    pub fn message(&self) -> HeldBytes {
        self.0.as_ref().and_then(|call| lock(&call.held).pop_front()).unwrap_or_default()
    }

    /// Points of a message. A stream waits until the client may send them; a unary call is refused.
    ///
    /// # Errors
    /// The client has sent as many as it may for now.
    pub async fn points(&self, count: usize) -> Result<(), OverLimit> {
        let Some((call, rate)) = self.0.as_ref().and_then(|call| Some((call, call.limits.points?)))
        else {
            return Ok(());
        };
        loop {
            let taken = lock(&call.client.points).take(count, rate, Instant::now());
            match taken {
                Ok(()) => return Ok(()),
                Err(wait) if call.is_stream => tokio::time::sleep(wait).await,
                Err(wait) => return Err(call.over_points(rate, wait)),
            }
        }
    }

    /// Takes as many new series as the client may create now, at most `count`; `default` a minute, unless its identity has a
    /// limit of its own.
    #[must_use]
    pub fn take_new_series(&self, count: usize, default: NonZeroUsize) -> usize {
        let Some(call) = &self.0 else { return count };
        lock(&call.client.new_series).take(
            count,
            call.new_series_per_minute(default),
            Instant::now(),
        )
    }

    /// Waits until the client may create more series. `count` is how many it wants: a stream waits until they fit, or a minute's
    /// worth of them; a unary call is refused.
    ///
    /// # Errors
    /// The client has created as many as it may for now.
    pub async fn wait_for_new_series(
        &self,
        count: usize,
        default: NonZeroUsize,
    ) -> Result<(), OverLimit> {
        let Some(call) = &self.0 else { return Ok(()) };
        let limit = call.new_series_per_minute(default);
        let wait = lock(&call.client.new_series).wait(count, limit, Instant::now());
        if call.is_stream {
            call.quotas.held_back(Limit::NewSeries, &call.client.name);
            tokio::time::sleep(wait).await;
            return Ok(());
        }
        let sentence = format!(
            "over {limit} new series a minute (TIDEGAUGE_NEW_SERIES_PER_MINUTE): {count} series of the batch do not exist yet; \
             send it again in {} s",
            wait.as_secs().max(1)
        );
        Err(call.over(Limit::NewSeries, sentence, wait))
    }

    /// Rows of an answer. They are given; the client's next call has to wait for it.
    pub fn rows(&self, count: usize) {
        if let Some(call) = &self.0
            && let Some(rate) = call.limits.points
        {
            lock(&call.client.points).spend(count, rate, Instant::now());
        }
    }

    /// Before anything is read: whether the client may make another call.
    pub(super) fn check_rates(&self) -> Result<(), OverLimit> {
        let Some(call) = self.0.as_ref().filter(|call| !call.is_stream) else { return Ok(()) };
        if let Some(rate) = call.limits.points
            && let Some(wait) = lock(&call.client.points).wait(rate, Instant::now())
        {
            return Err(call.over_points(rate, wait));
        }
        call.take_message().map_err(|wait| {
            let rate = call.limits.messages.unwrap_or_default();
            let sentence =
                format!("over {rate} messages a second (TIDEGAUGE_CLIENT_MESSAGES_PER_SECOND)");
            call.over(Limit::Messages, sentence, wait)
        })
    }

    pub(super) fn message_timeout(&self) -> Duration {
        self.0.as_ref().map_or(Duration::MAX, |call| call.quotas.config().message_timeout)
    }

    /// The client sends nothing, or not the rest of a message.
    pub(super) fn silent(&self) -> Status {
        let Some(call) = &self.0 else { return status::internal() };
        let timeout = humantime::format_duration(self.message_timeout());
        let sentence =
            format!("no whole message came within {timeout} (TIDEGAUGE_MESSAGE_TIMEOUT)");
        call.over(Limit::MessageTimeout, sentence, status::RETRY_AFTER).into_status("")
    }

    /// A message of this length begins: `None` where it may, else what to wait for. That of a unary call is held from here on.
    pub(super) fn begin(&self, length: usize) -> Result<Option<BoxFuture<'static, ()>>, Status> {
        let Some(call) = &self.0 else { return Ok(None) };
        if !call.is_stream {
            return call.try_hold(length).map(|()| None).map_err(|limit| call.over_bytes(limit));
        }
        let Err(wait) = call.take_message() else { return Ok(None) };
        let call = Arc::clone(call);
        Ok(Some(Box::pin(async move { call.wait_for_turn(wait).await })))
    }

    /// A message of this length is complete: `None` where there is room for it, else what to wait for. A stream's message is
    /// held from here on and not before: what is held must not wait for bytes that cannot come, for streams that are held back
    /// fill their connection's window.
    pub(super) fn complete(&self, length: usize) -> Option<BoxFuture<'static, ()>> {
        let call = self.0.as_ref().filter(|call| call.is_stream)?;
        call.try_hold(length).err()?;
        let call = Arc::clone(call);
        Some(Box::pin(async move { call.hold(length).await }))
    }
}

impl Call {
    fn new_series_per_minute(&self, default: NonZeroUsize) -> usize {
        self.limits.new_series_per_minute.unwrap_or(default.get())
    }

    fn take_message(&self) -> Result<(), Duration> {
        let Some(rate) = self.limits.messages else { return Ok(()) };
        lock(&self.client.messages).take(1, rate, Instant::now())
    }

    fn try_hold(&self, length: usize) -> Result<(), Limit> {
        let try_take = |bytes: &Arc<Semaphore>, most| {
            Arc::clone(bytes).try_acquire_many_owned(permits(length, most))
        };
        let of_client =
            try_take(&self.client.bytes, self.limits.bytes).map_err(|_| Limit::BytesInFlight)?;
        let of_all = try_take(self.quotas.bytes(), self.quotas.all_bytes())
            .map_err(|_| Limit::AllBytesInFlight)?;
        self.keep(of_client, of_all);
        Ok(())
    }

    fn keep(&self, of_client: OwnedSemaphorePermit, of_all: OwnedSemaphorePermit) {
        lock(&self.held)
            .push_back(HeldBytes { _of_client: Some(of_client), _of_all: Some(of_all) });
    }

    /// Waits until the client may send a message.
    async fn wait_for_turn(&self, first: Duration) {
        let mut wait = Err(first);
        while let Err(time) = wait {
            tokio::time::sleep(time).await;
            wait = self.take_message();
        }
    }

    /// Waits until a message fits.
    async fn hold(&self, length: usize) {
        let take = |bytes: &Arc<Semaphore>, most| {
            Arc::clone(bytes).acquire_many_owned(permits(length, most))
        };
        let of_client = take(&self.client.bytes, self.limits.bytes).await;
        let of_all = take(self.quotas.bytes(), self.quotas.all_bytes()).await;
        if let (Ok(of_client), Ok(of_all)) = (of_client, of_all) {
            self.keep(of_client, of_all); // both, for neither is ever closed
        }
    }

    fn over_bytes(&self, limit: Limit) -> Status {
        if limit == Limit::AllBytesInFlight {
            self.quotas.refused(limit, &self.client.name);
            let most = self.quotas.config().max_bytes_in_flight;
            let sentence = format!(
                "over {most} bytes in flight of all clients (TIDEGAUGE_MAX_BYTES_IN_FLIGHT)"
            );
            return status::unavailable(sentence);
        }
        let most = self.limits.bytes;
        let sentence =
            format!("over {most} bytes in flight (TIDEGAUGE_CLIENT_MAX_BYTES_IN_FLIGHT)");
        self.over(limit, sentence, status::RETRY_AFTER).into_status("")
    }

    fn over_points(&self, rate: usize, wait: Duration) -> OverLimit {
        let sentence =
            format!("over {rate} points or rows a second (TIDEGAUGE_CLIENT_POINTS_PER_SECOND)");
        self.over(Limit::Points, sentence, wait)
    }

    fn over(&self, limit: Limit, sentence: String, retry_after: Duration) -> OverLimit {
        self.quotas.over(limit, &self.client.name, &sentence, retry_after)
    }
}

/// A message larger than all that may be in flight counts as that much: it goes alone.
fn permits(length: usize, most: usize) -> u32 {
    u32::try_from(length.min(most)).unwrap_or(u32::MAX)
}

#[cfg(test)]
#[path = "call_tests.rs"]
mod tests;
