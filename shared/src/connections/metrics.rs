//! How many connections there are, and how many were turned away.

use std::sync::Arc;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Meter};
use tokio::sync::Semaphore;

use crate::metrics::{CONNECTIONS_CAPACITY, CONNECTIONS_OPEN, CONNECTIONS_REFUSED, REASON};

/// Why a connection was turned away.
#[derive(Clone, Copy, Debug)]
pub(super) enum Refusal {
    /// All places are taken.
    TooMany,
    /// Its TLS handshake failed, or took too long.
    Handshake,
    /// A proxy did not say whose it is.
    ProxyHeader,
}

impl Refusal {
    const ALL: [Self; 3] = [Self::TooMany, Self::Handshake, Self::ProxyHeader];

    fn attributes(self) -> [KeyValue; 1] {
        let reason = match self {
            Self::TooMany => "too_many",
            Self::Handshake => "handshake",
            Self::ProxyHeader => "proxy_header",
        };
        [KeyValue::new(REASON, reason)]
    }
}

/// Counts those that were turned away; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Metrics {
    refused: Counter<u64>,
}

impl Metrics {
    /// The places tell how many connections there are.
    pub(super) fn new(meter: &Meter, places: &Arc<Semaphore>, capacity: usize) -> Self {
        let places = Arc::clone(places);
        let open = move || capacity.saturating_sub(places.available_permits()) as f64;
        CONNECTIONS_OPEN.observe(meter, move |gauge| gauge.observe(open(), &[]));
        CONNECTIONS_CAPACITY.observe(meter, move |gauge| gauge.observe(capacity as f64, &[]));
        let refused = CONNECTIONS_REFUSED.counter(meter);
        Refusal::ALL.into_iter().for_each(|reason| refused.add(0, &reason.attributes()));
        Self { refused }
    }

    pub(super) fn refused(&self, reason: Refusal) {
        self.refused.add(1, &reason.attributes());
    }
}
