//! The quotas of one call, and the bytes that its messages hold.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tonic::Status;

use super::client::{ClientUsage, EffectiveLimits, lock};
use super::{Limit, OverLimit, Quotas};
use crate::status;

tokio::task_local! {
    static CURRENT: CallQuota;
}

/// A call that counts against the quotas of its client until the last clone is dropped. The default
/// value stands outside any call and is unlimited.
#[derive(Clone, Debug, Default)]
pub struct CallQuota(Option<Arc<Call>>);

#[derive(Debug)]
struct Call {
    quotas: Quotas,
    client: Arc<ClientUsage>,
    limits: EffectiveLimits,
    /// Whether the client sends a stream of messages. A stream is slowed down where a unary call is
    /// refused.
    is_stream: bool,
    /// Bytes of messages that [`CallQuota::message`] has not handed out yet.
    held: Mutex<VecDeque<HeldBytes>>,
}

/// Bytes of a message in flight. Released when dropped.
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
        client: Arc<ClientUsage>,
        limits: EffectiveLimits,
        is_stream: bool,
    ) -> Self {
        Self(Some(Arc::new(Call { quotas, client, limits, is_stream, held: Mutex::default() })))
    }

    /// Returns the quota of the call being handled. Must be called before spawning another task.
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

    /// Returns the client's name, which is the same for all of its calls.
    #[must_use]
    pub fn client(&self) -> Arc<str> {
        self.0.as_ref().map_or_else(|| "".into(), |call| Arc::clone(&call.client.name))
    }

    /// Returns the bytes held by the message read last, to be kept until the message is finished.
    /// Must be called once per message.
    #[must_use]
    pub fn message(&self) -> HeldBytes {
        self.0.as_ref().and_then(|call| lock(&call.held).pop_front()).unwrap_or_default()
    }

    /// Takes the points of a message from the quota. A stream waits for the quota; a unary call is
    /// refused.
    ///
    /// # Errors
    /// The client exceeds its points per second.
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

    /// Takes new series from the quota, at most `count`, and returns how many the client may create
    /// now. The quota is `default` per minute unless the identity has a limit of its own.
    #[must_use]
    pub fn take_new_series(&self, count: usize, default: NonZeroUsize) -> usize {
        let Some(call) = &self.0 else { return count };
        lock(&call.client.new_series).take(
            count,
            call.new_series_per_minute(default),
            Instant::now(),
        )
    }

    /// Waits until the client may create more series. `count` is the number that it needs: a stream
    /// waits for that many, or for one minute's worth if that is less. A unary call is refused.
    ///
    /// # Errors
    /// The client exceeds its new series per minute.
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
            "limit of {limit} new series per minute reached (TIDEGAUGE_NEW_SERIES_PER_MINUTE): \
             {count} series of the batch do not exist yet; retry in {} s",
            wait.as_secs().max(1)
        );
        Err(call.over(Limit::NewSeries, sentence, wait))
    }

    /// Takes rows already sent from the quota. It may go into debt, which delays the client's next
    /// call.
    pub fn rows(&self, count: usize) {
        if let Some(call) = &self.0
            && let Some(rate) = call.limits.points
        {
            lock(&call.client.points).spend(count, rate, Instant::now());
        }
    }

    /// Checks whether the client may start this call, before any of its body is read.
    pub(super) fn check_rates(&self) -> Result<(), OverLimit> {
        let Some(call) = self.0.as_ref().filter(|call| !call.is_stream) else { return Ok(()) };
        if let Some(rate) = call.limits.points
            && let Some(wait) = lock(&call.client.points).wait(rate, Instant::now())
        {
            return Err(call.over_points(rate, wait));
        }
        call.take_message().map_err(|wait| {
            let rate = call.limits.messages.unwrap_or_default();
            let sentence = format!(
                "limit of {rate} messages per second reached \
                 (TIDEGAUGE_CLIENT_MESSAGES_PER_SECOND)"
            );
            call.over(Limit::Messages, sentence, wait)
        })
    }

    pub(super) fn message_timeout(&self) -> Duration {
        self.0.as_ref().map_or(Duration::MAX, |call| call.quotas.config().message_timeout)
    }

    /// Returns the status for a client that sent no complete message in time.
    pub(super) fn silent(&self) -> Status {
        let Some(call) = &self.0 else { return status::internal() };
        let timeout = humantime::format_duration(self.message_timeout());
        let sentence =
            format!("no complete message received within {timeout} (TIDEGAUGE_MESSAGE_TIMEOUT)");
        call.over(Limit::MessageTimeout, sentence, status::RETRY_AFTER).into_status("")
    }

    /// Handles the start of a message with this length. Returns `None` if it may be read now,
    /// otherwise a future to wait for. A message of a unary call takes its bytes here.
    pub(super) fn begin(&self, length: usize) -> Result<Option<BoxFuture<'static, ()>>, Status> {
        let Some(call) = &self.0 else { return Ok(None) };
        if !call.is_stream {
            return call.try_hold(length).map(|()| None).map_err(|limit| call.over_bytes(limit));
        }
        let Err(wait) = call.take_message() else { return Ok(None) };
        let call = Arc::clone(call);
        Ok(Some(Box::pin(async move { call.wait_for_turn(wait).await })))
    }

    /// Handles the end of a message with this length. Returns `None` if its bytes fit the limits,
    /// otherwise a future that waits for them.
    ///
    /// A message of a stream takes its bytes only here, when it is complete. Streams that are
    /// slowed down fill the flow control window of their connection. An incomplete message that
    /// already held bytes could then wait forever for the rest of its data.
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

    /// Waits until the quota allows one more message. `first` is the first time to wait.
    async fn wait_for_turn(&self, first: Duration) {
        let mut wait = Err(first);
        while let Err(time) = wait {
            tokio::time::sleep(time).await;
            wait = self.take_message();
        }
    }

    /// Waits until the bytes of a message fit the limits, and holds them.
    async fn hold(&self, length: usize) {
        let take = |bytes: &Arc<Semaphore>, most| {
            Arc::clone(bytes).acquire_many_owned(permits(length, most))
        };
        let of_client = take(&self.client.bytes, self.limits.bytes).await;
        let of_all = take(self.quotas.bytes(), self.quotas.all_bytes()).await;
        if let (Ok(of_client), Ok(of_all)) = (of_client, of_all) {
            self.keep(of_client, of_all); // always, because neither semaphore is ever closed
        }
    }

    fn over_bytes(&self, limit: Limit) -> Status {
        if limit == Limit::AllBytesInFlight {
            self.quotas.refused(limit, &self.client.name);
            let most = self.quotas.config().max_bytes_in_flight;
            let sentence = format!(
                "limit of {most} bytes in flight of all clients reached \
                 (TIDEGAUGE_MAX_BYTES_IN_FLIGHT)"
            );
            return status::unavailable(sentence);
        }
        let most = self.limits.bytes;
        let sentence = format!(
            "limit of {most} bytes in flight reached (TIDEGAUGE_CLIENT_MAX_BYTES_IN_FLIGHT)"
        );
        self.over(limit, sentence, status::RETRY_AFTER).into_status("")
    }

    fn over_points(&self, rate: usize, wait: Duration) -> OverLimit {
        let sentence = format!(
            "limit of {rate} points or rows per second reached \
             (TIDEGAUGE_CLIENT_POINTS_PER_SECOND)"
        );
        self.over(Limit::Points, sentence, wait)
    }

    fn over(&self, limit: Limit, sentence: String, retry_after: Duration) -> OverLimit {
        self.quotas.over(limit, &self.client.name, &sentence, retry_after)
    }
}

/// Returns the permits that a message takes. A message larger than the limit takes all of them, and
/// so passes alone.
fn permits(length: usize, most: usize) -> u32 {
    u32::try_from(length.min(most)).unwrap_or(u32::MAX)
}

#[cfg(test)]
#[path = "call_tests.rs"]
mod tests;
