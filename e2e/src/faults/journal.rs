//! The clients' journal: per device, which batches were sent and which of them acknowledged.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;

use super::content::Content;

/// What one device's clients know.
pub(super) struct Entry {
    pub(super) content: Content,
    /// Batches from 1 to here were sent.
    pub(super) sent: u64,
    pub(super) acknowledged: BTreeSet<u64>,
}

/// All entries; shared by the clients.
pub(crate) struct Journal {
    entries: Mutex<BTreeMap<String, Entry>>,
    /// Batches over all devices; a batch that two clients sent counts twice.
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

    /// How many batches have been acknowledged, to be watched.
    pub(super) fn watch_acknowledged(&self) -> watch::Receiver<u64> {
        self.acknowledged.subscribe()
    }

    /// How many batches have been handed to a stream, resends included, to be watched.
    pub(super) fn watch_sent(&self) -> watch::Receiver<u64> {
        self.sent.subscribe()
    }

    /// The devices that have sent something.
    pub(super) fn devices(&self) -> Vec<String> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }

    /// Acknowledged batches of each device that numbers its batches.
    pub(super) fn acknowledged_by_device(&self) -> BTreeMap<String, usize> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let numbered = entries.iter().filter(|(_, entry)| entry.content.numbered);
        numbered.map(|(device_id, entry)| (device_id.clone(), entry.acknowledged.len())).collect()
    }

    /// What stands in it once all clients have ended.
    pub(super) fn into_entries(self) -> Vec<Entry> {
        self.entries.into_inner().unwrap_or_else(PoisonError::into_inner).into_values().collect()
    }

    fn change(&self, content: &Content, change: impl FnOnce(&mut Entry)) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Entry { content: content.clone(), sent: 0, acknowledged: BTreeSet::new() };
        change(entries.entry(content.device_id.clone()).or_insert_with(new));
    }
}
