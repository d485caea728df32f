//! Limits on the number of connections, in total and per client address.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::ServerConfig;
use crate::quotas::network;

/// The connection limits and the places taken. Cheap to clone.
#[derive(Clone)]
pub(super) struct Places {
    free: Arc<Semaphore>,
    most: usize,
    most_from_one: usize,
    taken: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// A place that is not yet assigned to a client address.
pub(super) struct Reserved(OwnedSemaphorePermit);

/// A place assigned to a client address. Freed when dropped.
pub(super) struct Held {
    _permit: OwnedSemaphorePermit,
    taken: Arc<Mutex<HashMap<IpAddr, usize>>>,
    address: IpAddr,
}

impl Places {
    pub(super) fn new(config: &ServerConfig) -> Self {
        let most = config.max_connections.get();
        let most = most.min(Semaphore::MAX_PERMITS);
        let free = Arc::new(Semaphore::new(most));
        Self {
            free,
            most,
            most_from_one: config.quotas.client_max_connections.get(),
            taken: Arc::default(),
        }
    }

    /// Returns the semaphore whose permits are the free places.
    pub(super) fn free(&self) -> &Arc<Semaphore> {
        &self.free
    }

    /// Returns the maximum number of connections in total.
    pub(super) fn most(&self) -> usize {
        self.most
    }

    /// Takes a place for a connection from `address`, or returns a message with the limit reached.
    pub(super) fn take(&self, address: SocketAddr) -> Result<Held, String> {
        self.hold(address, || self.reserve())
    }

    /// Takes a place for a connection whose client address is not known yet, or returns a message
    /// with the limit reached.
    pub(super) fn reserve(&self) -> Result<Reserved, String> {
        match Arc::clone(&self.free).try_acquire_owned() {
            Ok(permit) => Ok(Reserved(permit)),
            Err(_) => Err(format!(
                "limit of {} connections reached (TIDEGAUGE_MAX_CONNECTIONS)",
                self.most
            )),
        }
    }

    /// Assigns a reserved place to a client address, or returns a message with the limit reached.
    pub(super) fn assign(&self, reserved: Reserved, address: SocketAddr) -> Result<Held, String> {
        self.hold(address, || Ok(reserved))
    }

    fn hold(
        &self,
        address: SocketAddr,
        reserved: impl FnOnce() -> Result<Reserved, String>,
    ) -> Result<Held, String> {
        let address = network(address.ip());
        let mut taken = lock(&self.taken);
        if taken.get(&address).is_some_and(|&from_one| from_one >= self.most_from_one) {
            let most = self.most_from_one;
            return Err(format!(
                "limit of {most} connections from {address} reached \
                 (TIDEGAUGE_CLIENT_MAX_CONNECTIONS). All devices behind one address count as one \
                 client: raise the limit, or have the proxy in front of them send the PROXY \
                 protocol (TIDEGAUGE_PROXY_PROTOCOL_FROM)"
            ));
        }
        let Reserved(permit) = reserved()?;
        *taken.entry(address).or_default() += 1;
        Ok(Held { _permit: permit, taken: Arc::clone(&self.taken), address })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut taken = lock(&self.taken);
        if let Some(from_one) = taken.get_mut(&self.address) {
            *from_one -= 1;
            if *from_one == 0 {
                taken.remove(&self.address);
            }
        }
    }
}

/// Locks a mutex, ignoring poisoning: a panic leaves at most one count changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::defaults;

    #[test]
    fn one_address_does_not_take_every_place() {
        let places =
            Places::new(&defaults(&["--max-connections=3", "--client-max-connections=2"]).unwrap());
        let greedy = "192.0.2.1:1".parse().unwrap();
        let other = "192.0.2.2:1".parse().unwrap();
        let held = [places.take(greedy).ok().unwrap(), places.take(greedy).ok().unwrap()];
        assert!(places.take(greedy).err().unwrap().contains("2 connections from 192.0.2.1"));
        let held = (held, places.take(other).ok().unwrap());
        assert!(places.take(other).err().unwrap().contains("limit of 3 connections reached"));
        assert!(places.reserve().is_err());
        drop(held);
        assert!(lock(&places.taken).is_empty());
        let assigned = places.assign(places.reserve().unwrap(), greedy).unwrap();
        let held = (assigned, places.take(greedy).unwrap());
        let message = places.assign(places.reserve().unwrap(), greedy).err().unwrap();
        assert!(
            message.contains("All devices behind one address count as one client"),
            "{message}"
        );
        assert!(places.take(other).is_ok(), "a failed assignment frees its reserved place");
        drop(held);
        assert!(places.take(greedy).is_ok());
    }
}
