//! Room for points: bounds what all lanes hold together, and sees to it that no client keeps the others out.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

/// Gives out room. Whoever holds the fewest points comes first, of several the one that waits longest. Of one client, batches
/// that wait for as long as it takes keep their order, and so do those that do not; the two take turns.
pub(crate) struct Admission(Arc<Shared>);

struct Shared {
    capacity: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    held: usize,
    clients: HashMap<Arc<str>, Client>,
    /// Clients that wait, the next one first: what they hold, and the turn of their first batch.
    line: BTreeSet<(usize, u64, Arc<str>)>,
    /// Batches that asked for room so far.
    asked: u64,
}

/// A client that holds room or waits for some.
#[derive(Default)]
struct Client {
    held: usize,
    /// Those that wait for as long as it takes, and those that do not.
    waiting: [VecDeque<Waiting>; 2],
    /// Which of these come next.
    next: usize,
    /// How long the batch that was settled last had room.
    settled_in: Duration,
}

struct Waiting {
    /// How many asked before it.
    turn: u64,
    points: usize,
    hasty: bool,
    granted: oneshot::Sender<Room>,
}

/// Room for a batch; given back when this is dropped.
pub(crate) struct Room {
    shared: Arc<Shared>,
    client: Arc<str>,
    points: usize,
    held: usize,
    hasty: bool,
    /// When its batch got it; none where nobody waited for it any more.
    since: Option<Instant>,
}

impl Room {
    /// Whose batch it is.
    pub(crate) fn client(&self) -> &Arc<str> {
        &self.client
    }

    /// Whether somebody waits who does not for long.
    pub(super) fn is_hasty(&self) -> bool {
        self.hasty
    }

    /// What its client held when it got this, this included.
    pub(super) fn held_by_client(&self) -> usize {
        self.held
    }
}

impl Admission {
    pub(super) fn new(capacity: usize) -> Self {
        Self(Arc::new(Shared { capacity, state: Mutex::default() }))
    }

    /// Room for so many points of a client, once there is some. With patience, none where its batch would not be settled within
    /// that time, if it then took as long as the client's last one. This is said when that time has passed and not before:
    /// whoever asks again at once, though told not to, costs what others could use.
    pub(super) async fn room_for(
        &self,
        client: Arc<str>,
        points: usize,
        patience: Option<Duration>,
    ) -> Option<Room> {
        let (settled_in, room) = self.ask(client, points, patience.is_some());
        let mut room = match patience {
            Some(patience) => {
                let refusal = sleep(patience);
                match timeout(patience.saturating_sub(settled_in), room).await {
                    Ok(room) => room,
                    Err(_) => {
                        refusal.await;
                        return None;
                    }
                }
            }
            None => room.await,
        }
        .ok()?;
        room.since = Some(Instant::now());
        Some(room)
    }

    /// How long the client's last batch took, and room once there is some. Whoever no longer waits drops the receiver.
    fn ask(
        &self,
        client: Arc<str>,
        points: usize,
        hasty: bool,
    ) -> (Duration, oneshot::Receiver<Room>) {
        let (granted, room) = oneshot::channel();
        let mut state = self.0.state();
        let waiting = Waiting { turn: state.asked, points: points.max(1), hasty, granted };
        state.asked += 1;
        let settled_in = state.change(&client, |client| {
            let line = &mut client.waiting[usize::from(hasty)];
            while line.front().is_some_and(|first| first.granted.is_closed()) {
                line.pop_front(); // where nothing is settled for long, those who gave up must not pile up
            }
            line.push_back(waiting);
            client.settled_in
        });
        self.0.grant(state);
        (settled_in, room)
    }

    /// How many points fit.
    pub(super) fn free(&self) -> usize {
        self.0.capacity.saturating_sub(self.0.state().held)
    }
}

impl Clone for Admission {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl Shared {
    /// Whoever panicked with the lock held left whole numbers.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives out what room there is. Outside the lock, for room that nobody waits for any more comes back at once.
    fn grant(self: &Arc<Self>, mut state: MutexGuard<'_, State>) {
        let mut granted = Vec::new();
        while let Some((client, held, waiting)) = state.next(self.capacity) {
            let Waiting { points, hasty, granted: receiver, .. } = waiting;
            granted.push((
                receiver,
                Room { shared: Arc::clone(self), client, points, held, hasty, since: None },
            ));
        }
        drop(state);
        for (receiver, room) in granted {
            drop(receiver.send(room));
        }
    }
}

impl State {
    /// Of the clients that wait and may have more, the one that holds least: its next batch, if it fits. A client has a
    /// quarter of all room left to others, so that there is some when they come. What it holds then is told beside the batch.
    fn next(&mut self, capacity: usize) -> Option<(Arc<str>, usize, Waiting)> {
        let may_have_more = |(held, _, name): &&(usize, u64, Arc<str>)| {
            *held == 0
                || held + self.clients.get(name).map_or(0, Client::next_points) <= capacity / 4 * 3
        };
        let (_, _, name) = self.line.iter().find(may_have_more)?;
        let (name, points) = (Arc::clone(name), self.clients.get(name)?.next_points());
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

    /// Changes what a client holds or waits for, and its place in the line with it.
    fn change<T>(&mut self, name: &Arc<str>, change: impl FnOnce(&mut Client) -> T) -> T {
        let client = self.clients.entry(Arc::clone(name)).or_default();
        let place = |client: &Client| Some((client.held, client.first()?.turn, Arc::clone(name)));
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

impl Client {
    /// The batch that comes next.
    fn first(&self) -> Option<&Waiting> {
        self.waiting[self.next].front().or(self.waiting[1 - self.next].front())
    }

    fn take_first(&mut self) -> Option<Waiting> {
        let first = self.waiting[self.next].pop_front();
        self.next = 1 - self.next;
        first.or_else(|| self.waiting[self.next].pop_front())
    }

    /// Points of the batch that comes next.
    fn next_points(&self) -> usize {
        self.first().map_or(0, |waiting| waiting.points)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        state.held -= self.points;
        state.change(&self.client, |client| {
            client.held -= self.points;
            client.settled_in = self.since.map_or(client.settled_in, |since| since.elapsed());
            client
                .waiting
                .iter_mut()
                .for_each(|line| line.retain(|waiting| !waiting.granted.is_closed()));
        });
        self.shared.grant(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(admission: &Admission, client: &str, points: usize) -> oneshot::Receiver<Room> {
        admission.ask(client.into(), points, false).1
    }

    #[test]
    fn room_goes_to_whoever_holds_least_and_some_is_left_to_others() {
        let admission = Admission::new(100);
        let mut greedy: Vec<_> = (0..20).map(|_| ask(&admission, "greedy", 10)).collect();
        let mut held: Vec<Room> =
            greedy.iter_mut().filter_map(|room| room.try_recv().ok()).collect();
        assert_eq!(held.len(), 7, "three quarters of 100");
        let mut modest = [ask(&admission, "modest", 20), ask(&admission, "modest", 20)];
        let first = modest[0].try_recv().unwrap();
        assert!(modest[1].try_recv().is_err(), "110");
        held.pop();
        assert!(modest[1].try_recv().is_ok(), "it came later than all those of the greedy client");
        drop((first, held));
        assert!(greedy[8].try_recv().is_ok());
    }

    #[test]
    fn the_batches_of_one_client_keep_their_order_and_a_large_one_is_not_passed_by() {
        let admission = Admission::new(100);
        let mut first = ask(&admission, "a", 60);
        let (mut large, mut small) = (ask(&admission, "b", 90), ask(&admission, "b", 1));
        let (mut other, held) = (ask(&admission, "c", 30), first.try_recv().unwrap());
        assert!(
            large.try_recv().is_err() && small.try_recv().is_err() && other.try_recv().is_err()
        );
        drop(held);
        let large = large.try_recv().unwrap();
        assert!(small.try_recv().is_err(), "beyond its share");
        assert!(other.try_recv().is_err(), "30 more do not fit");
        drop(large);
        assert!(small.try_recv().is_ok() && other.try_recv().is_ok());
    }

    #[test]
    fn room_that_nobody_waits_for_any_more_is_not_lost() {
        let admission = Admission::new(100);
        let mut first = ask(&admission, "a", 100);
        drop(ask(&admission, "b", 100));
        let mut last = ask(&admission, "c", 100);
        drop(first.try_recv().unwrap());
        drop(last.try_recv().unwrap());
        assert_eq!(admission.free(), 100);
        drop(ask(&admission, "gone", 100));
        assert_eq!(admission.free(), 100);
        assert!(admission.0.state().clients.is_empty());
    }

    #[test]
    fn those_that_do_not_wait_long_take_turns_with_those_that_do() {
        let admission = Admission::new(100);
        let mut first = ask(&admission, "a", 75);
        let mut patient: Vec<_> = (0..3).map(|_| ask(&admission, "a", 25)).collect();
        let mut hasty: Vec<_> = (0..4).map(|_| admission.ask("a".into(), 25, true).1).collect();
        drop(hasty.remove(0));
        drop(first.try_recv().unwrap());
        let held: Vec<Room> = hasty[..2]
            .iter_mut()
            .chain(&mut patient[..1])
            .map(|room| room.try_recv().unwrap())
            .collect();
        assert!(hasty[2].try_recv().is_err() && patient[1].try_recv().is_err());
        drop(held);
        assert!(hasty[2].try_recv().is_ok() && patient[1].try_recv().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_longer_than_its_patience_without_what_its_batch_takes_then() {
        const PATIENCE: Option<Duration> = Some(Duration::from_millis(250));
        let admission = Admission::new(100);
        let held = admission.room_for("a".into(), 75, None).await.unwrap();
        let began = tokio::time::Instant::now();
        assert!(admission.room_for("a".into(), 75, PATIENCE).await.is_none());
        assert_eq!(began.elapsed().as_millis(), 250);
        admission.0.state().clients.get_mut("a").unwrap().settled_in = Duration::from_millis(200);
        let began = tokio::time::Instant::now();
        let late = async {
            tokio::time::sleep(Duration::from_millis(51)).await;
            drop(held);
        };
        assert!(tokio::join!(admission.room_for("a".into(), 75, PATIENCE), late).0.is_none());
        assert_eq!(began.elapsed().as_millis(), 250, "not told before");
        assert!(
            admission.room_for("a".into(), 75, PATIENCE).await.is_some(),
            "nothing is known of its last one"
        );
    }
}
