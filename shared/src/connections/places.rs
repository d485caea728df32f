//! How many connections there may be: in all, and from one address.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::ServerConfig;
use crate::quotas::network;

/// The places that there are; cheap to clone.
#[derive(Clone)]
pub(super) struct Places {
    free: Arc<Semaphore>,
    most: usize,
    most_from_one: usize,
    taken: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// One of all places, for a connection whose source is not known yet.
pub(super) struct Reserved(OwnedSemaphorePermit);

/// One of them, held until it is dropped.
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

    /// Those that are not taken.
    pub(super) fn free(&self) -> &Arc<Semaphore> {
        &self.free
    }

    /// All.
    pub(super) fn most(&self) -> usize {
        self.most
    }

    /// A place for a connection from there, or the limit that was reached.
    pub(super) fn take(&self, address: SocketAddr) -> Result<Held, String> {
        self.hold(address, || self.reserve())
    }

    /// A place for a connection that has yet to say where it is from, or the limit that was reached.
    pub(super) fn reserve(&self) -> Result<Reserved, String> {
        match Arc::clone(&self.free).try_acquire_owned() {
            Ok(permit) => Ok(Reserved(permit)),
            Err(_) => Err(format!(
                "there are {} connections already (TIDEGAUGE_MAX_CONNECTIONS)",
                self.most
            )),
        }
    }

    /// The reserved place for a connection from there, or the limit that was reached.
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
                "there are {most} connections from {address} already (TIDEGAUGE_CLIENT_MAX_CONNECTIONS); all devices behind one \
                 address count as one client: raise the limit, or have the proxy in front of them say whose each connection is \
                 (TIDEGAUGE_PROXY_PROTOCOL_FROM)"
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

/// Whoever panicked with the lock held changed one number at most.
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
        let (greedy, other) = ("192.0.2.1:1".parse().unwrap(), "192.0.2.2:1".parse().unwrap());
        let held = [places.take(greedy).ok().unwrap(), places.take(greedy).ok().unwrap()];
        assert!(places.take(greedy).err().unwrap().contains("2 connections from 192.0.2.1"));
        let held = (held, places.take(other).ok().unwrap());
        assert!(places.take(other).err().unwrap().contains("there are 3 connections already"));
        assert!(places.reserve().is_err());
        drop(held);
        assert!(lock(&places.taken).is_empty());
        let assigned = places.assign(places.reserve().unwrap(), greedy).unwrap();
        let held = (assigned, places.take(greedy).unwrap());
        let told = places.assign(places.reserve().unwrap(), greedy).err().unwrap();
        assert!(told.contains("all devices behind one address count as one client"), "{told}");
        assert!(places.take(other).is_ok(), "a place that was not assigned is free again");
        drop(held);
        assert!(places.take(greedy).is_ok());
    }
}
