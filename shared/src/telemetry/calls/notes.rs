//! What the inside of a call tells the metrics about it.

use std::sync::{Arc, OnceLock};

use opentelemetry::{KeyValue, StringValue, Value};

use super::Instruments;
use crate::granularity::Granularity;
use crate::metrics;

tokio::task_local! {
    pub(super) static NOTES: CallNotes;
}

/// What the inside of a call tells the metrics about it; cheap to clone. Empty outside a call, where nothing is noted.
#[derive(Clone, Debug, Default)]
pub struct CallNotes(pub(super) Option<Arc<Notes>>);

#[derive(Debug)]
pub(super) struct Notes {
    pub(super) instruments: Arc<Instruments>,
    method: StringValue,
    granularity: OnceLock<&'static str>,
}

impl CallNotes {
    /// Those of the call that is being handled; to be asked for before another task is begun.
    #[must_use]
    pub fn current() -> Self {
        NOTES.try_with(Self::clone).unwrap_or_default()
    }

    /// At which granularity the answer is.
    pub fn granularity(&self, granularity: Granularity) {
        if let Self(Some(notes)) = self {
            let _ = notes.granularity.set(granularity.name()); // an answer has one
        }
    }

    /// So many rows go to the client.
    pub fn rows(&self, rows: usize) {
        if let Self(Some(notes)) = self
            && rows > 0
        {
            let (attributes, count) = notes.attributes();
            notes.instruments.rows.add(rows as u64, &attributes[..count]);
        }
    }
}

impl Notes {
    pub(super) fn new(instruments: &Arc<Instruments>, method: StringValue) -> Self {
        Self { instruments: Arc::clone(instruments), method, granularity: OnceLock::new() }
    }

    /// The method and, where the answer has one, the granularity; and how many of these there are.
    pub(super) fn attributes(&self) -> ([KeyValue; 2], usize) {
        let method = KeyValue::new(metrics::RPC_METHOD, Value::String(self.method.clone()));
        let granularity = self.granularity.get().copied();
        let count = if granularity.is_some() { 2 } else { 1 };
        ([method, KeyValue::new(metrics::GRANULARITY, granularity.unwrap_or_default())], count)
    }
}
