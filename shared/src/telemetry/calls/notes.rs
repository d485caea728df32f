//! Facts that handlers add to the metrics of their call.

use std::sync::{Arc, OnceLock};

use opentelemetry::{KeyValue, StringValue, Value};

use super::Instruments;
use crate::granularity::Granularity;
use crate::metrics;

tokio::task_local! {
    pub(super) static NOTES: CallNotes;
}

/// Facts that handlers add to the metrics of their call. Cheap to clone. The default value stands
/// outside any call and records nothing.
#[derive(Clone, Debug, Default)]
pub struct CallNotes(pub(super) Option<Arc<Notes>>);

#[derive(Debug)]
pub(super) struct Notes {
    pub(super) instruments: Arc<Instruments>,
    method: StringValue,
    granularity: OnceLock<&'static str>,
}

impl CallNotes {
    /// Returns the notes of the call being handled. Must be called before spawning another task.
    #[must_use]
    pub fn current() -> Self {
        NOTES.try_with(Self::clone).unwrap_or_default()
    }

    /// Records the granularity of the answer.
    pub fn granularity(&self, granularity: Granularity) {
        if let Self(Some(notes)) = self {
            let _ = notes.granularity.set(granularity.name()); // set once per answer
        }
    }

    /// Counts rows sent to the client.
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

    /// Returns the attributes and how many of them to use: the method and, if it is known, the
    /// granularity.
    pub(super) fn attributes(&self) -> ([KeyValue; 2], usize) {
        let method = KeyValue::new(metrics::RPC_METHOD, Value::String(self.method.clone()));
        let granularity = self.granularity.get().copied();
        let count = if granularity.is_some() { 2 } else { 1 };
        ([method, KeyValue::new(metrics::GRANULARITY, granularity.unwrap_or_default())], count)
    }
}
