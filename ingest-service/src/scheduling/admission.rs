//! Admission: limits the points in all lanes together, and prevents one client from locking out the
//! others.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::time::sleep;

/// A client that already holds points may hold at most 3/4 of the capacity.
const CLIENT_MAX_QUARTERS: usize = 3;

/// Fair pool of permits for points.
///
/// The client that holds the fewest points comes first, and among equals the one that waits
/// longest. Within a client, streaming and unary batches are each first-in, first-out, and the two
/// take turns.
pub(crate) struct Admission(Arc<PermitPool>);

/// Pool that the admission and its permits share.
struct PermitPool {
    /// Maximum number of points held together.
    capacity: usize,
    state: Mutex<PoolState>,
}

/// Permits that are held, and requests that wait.
#[derive(Default)]
struct PoolState {
    /// Number of points held by all clients.
    held: usize,
    clients: HashMap<Arc<str>, PermitHolder>,
    /// Waiting clients in order of service: points held, turn of the first waiting batch, name.
    line: BTreeSet<(usize, u64, Arc<str>)>,
    /// Number of requests so far.
    requested: u64,
}

/// A client that holds permits or waits for one.
#[derive(Default)]
struct PermitHolder {
    /// Number of points held.
    held: usize,
    /// Waiting batches: of streams, and of unary calls.
    waiting: [VecDeque<PermitRequest>; 2],
    /// Index of the queue in `waiting` that comes next.
    next: usize,
    /// Time for which the last settled batch held its permit.
    last_hold_time: Duration,
}

/// A batch that waits for a permit.
struct PermitRequest {
    /// Number of requests before this one.
    turn: u64,
    points: usize,
    unary: bool,
    granted: oneshot::Sender<Permit>,
}

/// Permit for the points of one batch, released on drop.
pub(crate) struct Permit {
    pool: Arc<PermitPool>,
    client: Arc<str>,
    points: usize,
    /// Number of points held by the client when this permit was granted, including its own.
    held: usize,
    unary: bool,
    /// Time of acquisition; `None` if the request was cancelled before.
    since: Option<Instant>,
}

impl Permit {
    /// Returns the client of the batch.
    pub(crate) fn client(&self) -> &Arc<str> {
        &self.client
    }

    /// Returns whether the batch belongs to a unary call.
    pub(super) fn is_unary(&self) -> bool {
        self.unary
    }

    /// Returns the number of points that the client held when this permit was granted, including
    /// its own.
    pub(super) fn held_by_client(&self) -> usize {
        self.held
    }
}

impl Admission {
    pub(super) fn new(capacity: usize) -> Self {
        Self(Arc::new(PermitPool { capacity, state: Mutex::default() }))
    }

    /// Waits for a permit for the points of a client's batch.
    ///
    /// With a timeout, returns `None` if the permit comes too late for the batch to be settled
    /// within it. The forecast assumes that the batch takes as long as the client's last one. The
    /// refusal is returned only after the whole timeout, so that clients that retry immediately
    /// cost little.
    pub(super) async fn acquire(
        &self,
        client: Arc<str>,
        points: usize,
        timeout: Option<Duration>,
    ) -> Option<Permit> {
        let (last_hold_time, permit) = self.request(client, points, timeout.is_some());
        let mut permit = match timeout {
            Some(timeout) => {
                let refusal = sleep(timeout);
                match tokio::time::timeout(timeout.saturating_sub(last_hold_time), permit).await {
                    Ok(permit) => permit,
                    Err(_) => {
                        refusal.await;
                        return None;
                    }
                }
            }
            None => permit.await,
        }
        .ok()?;
        permit.since = Some(Instant::now());
        Some(permit)
    }

    /// Requests a permit. Returns the time for which the client's last batch held its permit, and a
    /// receiver of the new permit. Dropping the receiver cancels the request.
    fn request(
        &self,
        client: Arc<str>,
        points: usize,
        unary: bool,
    ) -> (Duration, oneshot::Receiver<Permit>) {
        let (granted, permit) = oneshot::channel();
        let mut state = self.0.state();
        let waiting =
            PermitRequest { turn: state.requested, points: points.max(1), unary, granted };
        state.requested += 1;
        let last_hold_time = state.change(&client, |client| {
            let line = &mut client.waiting[usize::from(unary)];
            while line.front().is_some_and(|first| first.granted.is_closed()) {
                line.pop_front(); // cancelled requests must not accumulate while nothing is settled
            }
            line.push_back(waiting);
            client.last_hold_time
        });
        self.0.grant(state);
        (last_hold_time, permit)
    }

    /// Returns the number of points that still fit.
    pub(super) fn free(&self) -> usize {
        self.0.capacity.saturating_sub(self.0.state().held)
    }
}

impl Clone for Admission {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl PermitPool {
    /// Locks the state. A panic while the lock is held leaves it consistent.
    fn state(&self) -> MutexGuard<'_, PoolState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Grants permits as long as the next batch fits. Sends them after releasing the lock, because
    /// the permit of a cancelled request is dropped at once and takes the lock again.
    fn grant(self: &Arc<Self>, mut state: MutexGuard<'_, PoolState>) {
        let mut granted = Vec::new();
        while let Some((client, held, waiting)) = state.next(self.capacity) {
            let PermitRequest { points, unary, granted: receiver, .. } = waiting;
            granted.push((
                receiver,
                Permit { pool: Arc::clone(self), client, points, held, unary, since: None },
            ));
        }
        drop(state);
        for (receiver, permit) in granted {
            drop(receiver.send(permit));
        }
    }
}

impl PoolState {
    /// Takes the next batch to admit, if it fits, and returns its client and the points that the
    /// client then holds.
    ///
    /// Chooses the waiting client that holds the fewest points. A client that already holds some
    /// may not exceed three quarters of the capacity; the rest is for other clients.
    fn next(&mut self, capacity: usize) -> Option<(Arc<str>, usize, PermitRequest)> {
        let may_have_more = |(held, _, name): &&(usize, u64, Arc<str>)| {
            *held == 0
                || held + self.clients.get(name).map_or(0, PermitHolder::next_points)
                    <= capacity / 4 * CLIENT_MAX_QUARTERS
        };
        let (_, _, name) = self.line.iter().find(may_have_more)?;
        let name = Arc::clone(name);
        let points = self.clients.get(&name)?.next_points();
        if self.held > 0 && self.held + points > capacity {
            return None;
        }
        self.held += points;
        let (held, waiting) = self.change(&name, |client| {
            client.held += points;
            Some((client.held, client.take_first()?))
        })?;
        Some((name, held, waiting))
    }

    /// Changes a client and updates its place in the line. Removes a client that neither holds nor
    /// waits.
    fn change<T>(&mut self, name: &Arc<str>, change: impl FnOnce(&mut PermitHolder) -> T) -> T {
        let client = self.clients.entry(Arc::clone(name)).or_default();
        let place =
            |client: &PermitHolder| Some((client.held, client.first()?.turn, Arc::clone(name)));
        if let Some(place) = place(client) {
            self.line.remove(&place);
        }
        let changed = change(client);
        match place(client) {
            Some(place) => drop(self.line.insert(place)),
            None if client.held == 0 => drop(self.clients.remove(name)),
            None => {}
        }
        changed
    }
}

impl PermitHolder {
    /// Returns the batch that comes next.
    fn first(&self) -> Option<&PermitRequest> {
        self.waiting[self.next].front().or(self.waiting[1 - self.next].front())
    }

    /// Takes the batch that comes next. The other queue has the next turn.
    fn take_first(&mut self) -> Option<PermitRequest> {
        let first = self.waiting[self.next].pop_front();
        self.next = 1 - self.next;
        first.or_else(|| self.waiting[self.next].pop_front())
    }

    /// Returns the number of points of the batch that comes next.
    fn next_points(&self) -> usize {
        self.first().map_or(0, |waiting| waiting.points)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = self.pool.state();
        state.held -= self.points;
        state.change(&self.client, |client| {
            client.held -= self.points;
            client.last_hold_time =
                self.since.map_or(client.last_hold_time, |since| since.elapsed());
            client
                .waiting
                .iter_mut()
                .for_each(|line| line.retain(|waiting| !waiting.granted.is_closed()));
        });
        self.pool.grant(state);
    }
}

#[cfg(test)]
mod tests;
