//! The clients' journal: which batches of each device were sent, and which were acknowledged.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;

use super::content::Content;

/// Batches of one device, as its clients recorded them.
pub(super) struct Entry {
    pub(super) content: Content,
    /// Batches 1 to this one were sent.
    pub(super) sent: u64,
    pub(super) acknowledged: BTreeSet<u64>,
}

/// All entries, shared by the clients.
pub(crate) struct Journal {
    entries: Mutex<BTreeMap<String, Entry>>,
    /// Number of acknowledged batches over all devices. A batch that two clients sent counts twice.
    acknowledged: watch::Sender<u64>,
    sent: watch::Sender<u64>,
}

impl Journal {
    pub(super) fn new() -> Self {
        Self {
            entries: Mutex::default(),
            acknowledged: watch::Sender::new(0),
            sent: watch::Sender::new(0),
        }
    }

    pub(super) fn sent(&self, content: &Content, number: u64) {
        self.change(content, |entry| entry.sent = entry.sent.max(number));
        self.sent.send_modify(|sent| *sent += 1);
    }

    pub(super) fn acknowledged(&self, content: &Content, number: u64) {
        self.change(content, |entry| {
            entry.acknowledged.insert(number);
        });
        self.acknowledged.send_modify(|acknowledged| *acknowledged += 1);
    }

    /// Subscribes to the number of acknowledged batches.
    pub(super) fn watch_acknowledged(&self) -> watch::Receiver<u64> {
        self.acknowledged.subscribe()
    }

    /// Subscribes to the number of batches handed to a stream, resends included.
    pub(super) fn watch_sent(&self) -> watch::Receiver<u64> {
        self.sent.subscribe()
    }

    /// Returns the devices that have sent something.
    pub(super) fn devices(&self) -> Vec<String> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }

    /// Returns the number of acknowledged batches of each device that numbers them.
    pub(super) fn acknowledged_by_device(&self) -> BTreeMap<String, usize> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let numbered = entries.iter().filter(|(_, entry)| entry.content.numbered);
        numbered.map(|(device_id, entry)| (device_id.clone(), entry.acknowledged.len())).collect()
    }

    /// Returns all entries once every client has ended.
    pub(super) fn into_entries(self) -> Vec<Entry> {
        self.entries.into_inner().unwrap_or_else(PoisonError::into_inner).into_values().collect()
    }

    fn change(&self, content: &Content, change: impl FnOnce(&mut Entry)) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Entry { content: content.clone(), sent: 0, acknowledged: BTreeSet::new() };
        change(entries.entry(content.device_id.clone()).or_insert_with(new));
    }
}
