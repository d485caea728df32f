//! Usage of each client that currently uses any quota.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::allowance::Allowance;
use super::bucket::Bucket;
use crate::auth::ClientLimits;
use crate::config::QuotaConfig;

/// Number of clients in memory above which idle ones are removed.
const KNOWN: usize = 1_024;

/// Limits in effect for one client.
#[derive(Clone, Copy, Debug)]
pub(super) struct EffectiveLimits {
    pub(super) calls: usize,
    pub(super) messages: Option<usize>,
    pub(super) points: Option<usize>,
    /// The identity's own limit. `None`: the default of ingest-service applies.
    pub(super) new_series_per_minute: Option<usize>,
    pub(super) bytes: usize,
}

impl EffectiveLimits {
    /// Returns the identity's own limits, completed by those of the configuration.
    pub(super) fn of(own: ClientLimits, config: &QuotaConfig) -> Self {
        let bytes = own.max_bytes_in_flight.unwrap_or(config.client_max_bytes_in_flight).get();
        Self {
            calls: own.max_calls.unwrap_or(config.client_max_calls).get(),
            messages: own
                .messages_per_second
                .or(config.client_messages_per_second)
                .map(usize::from),
            points: own.points_per_second.or(config.client_points_per_second).map(usize::from),
            new_series_per_minute: own.new_series_per_minute.map(usize::from),
            bytes: bytes.min(u32::MAX as usize),
        }
    }
}

/// Current usage of one client.
#[derive(Debug)]
pub(super) struct ClientUsage {
    /// `identity:NAME`, `clientip:ADDRESS` or `probe:ADDRESS`.
    pub(super) name: Arc<str>,
    pub(super) calls: AtomicUsize,
    pub(super) messages: Mutex<Bucket>,
    pub(super) points: Mutex<Bucket>,
    pub(super) new_series: Mutex<Allowance>,
    /// Semaphore whose permits are the free bytes.
    pub(super) bytes: Arc<Semaphore>,
    /// Number of bytes that the semaphore was sized for.
    all_bytes: Mutex<usize>,
}

impl ClientUsage {
    fn new(name: Arc<str>, bytes: usize) -> Self {
        Self {
            name,
            calls: AtomicUsize::new(0),
            messages: Mutex::default(),
            points: Mutex::default(),
            new_series: Mutex::default(),
            bytes: Arc::new(Semaphore::new(bytes)),
            all_bytes: Mutex::new(bytes),
        }
    }

    /// Adapts the semaphore to a changed limit. The other limits are passed in whenever they are
    /// checked, so they need no update.
    fn resize(&self, bytes: usize) {
        let mut all = lock(&self.all_bytes);
        if bytes > *all {
            self.bytes.add_permits(bytes - *all);
            *all = bytes;
        } else {
            // Permits in use cannot be forgotten now; a later call will forget them.
            *all -= self.bytes.forget_permits(*all - bytes);
        }
    }

    fn is_idle(&self, limits: &EffectiveLimits, now: Instant) -> bool {
        self.calls.load(Ordering::Relaxed) == 0
            && lock(&self.messages).is_full(limits.messages, now)
            && lock(&self.points).is_full(limits.points, now)
            && lock(&self.new_series).is_full(now)
    }
}

/// Usage of all clients that currently use any quota.
#[derive(Debug, Default)]
pub(super) struct ClientUsages {
    known: HashMap<Arc<str>, (Arc<ClientUsage>, EffectiveLimits)>,
    forget_at: usize,
}

impl ClientUsages {
    /// Returns the client with this name after counting one more call. Fails with the name if the
    /// client is at its limit of open calls.
    pub(super) fn enter(
        &mut self,
        name: &str,
        limits: EffectiveLimits,
    ) -> Result<Arc<ClientUsage>, Arc<str>> {
        if self.known.len() >= self.forget_at.max(KNOWN) {
            let now = Instant::now();
            self.known.retain(|_, (client, limits)| !client.is_idle(limits, now));
            self.forget_at = self.known.len() * 2;
        }
        if !self.known.contains_key(name) {
            let name: Arc<str> = name.into();
            self.known.insert(
                Arc::clone(&name),
                (Arc::new(ClientUsage::new(name, limits.bytes)), limits),
            );
        }
        let Some((client, known)) = self.known.get_mut(name) else { return Err(name.into()) };
        *known = limits;
        if client.calls.load(Ordering::Relaxed) >= limits.calls {
            return Err(Arc::clone(&client.name));
        }
        // Only incremented under the lock of `ClientUsages`, so the check above still holds.
        client.calls.fetch_add(1, Ordering::Relaxed);
        client.resize(limits.bytes);
        Ok(Arc::clone(client))
    }
}

/// Returns the part of an address that identifies a client: all of IPv4, or the /64 network of
/// IPv6, which is what one subscriber is usually given.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) >> 64 << 64).into()),
        address @ IpAddr::V4(_) => address,
    }
}

/// Locks a mutex, ignoring poisoning: a panic leaves the numbers consistent.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: EffectiveLimits = EffectiveLimits {
        calls: 2,
        messages: None,
        points: Some(10),
        new_series_per_minute: None,
        bytes: 100,
    };

    #[test]
    fn clients_that_hold_nothing_are_forgotten() {
        let mut clients = ClientUsages::default();
        let held = clients.enter("held", LIMITS).unwrap();
        for index in 0..10 * KNOWN {
            clients
                .enter(&index.to_string(), LIMITS)
                .unwrap()
                .calls
                .fetch_sub(1, Ordering::Relaxed);
        }
        assert!(clients.known.len() <= 2 * KNOWN, "{}", clients.known.len());
        assert!(Arc::ptr_eq(&clients.enter("held", LIMITS).unwrap(), &held));
        assert_eq!(clients.enter("held", LIMITS).unwrap_err(), "held".into(), "two calls are open");
    }

    #[test]
    fn a_changed_limit_of_bytes_holds_for_the_next_call() {
        let mut clients = ClientUsages::default();
        let client = clients.enter("a", LIMITS).unwrap();
        client.calls.fetch_sub(1, Ordering::Relaxed);
        clients.enter("a", EffectiveLimits { bytes: 500, ..LIMITS }).unwrap();
        assert_eq!(client.bytes.available_permits(), 500);
        clients.enter("a", EffectiveLimits { bytes: 50, ..LIMITS }).unwrap();
        assert_eq!(client.bytes.available_permits(), 50);
    }

    #[test]
    fn an_address_of_version_6_stands_for_its_network() {
        let network = |text: &str| network(text.parse().unwrap()).to_string();
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(network("::ffff:192.0.2.1"), "192.0.2.1");
        assert_eq!(network("192.0.2.1"), "192.0.2.1");
    }
}
