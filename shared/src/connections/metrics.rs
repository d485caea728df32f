//! Metrics of open and refused connections.

use std::sync::Arc;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Meter};
use tokio::sync::Semaphore;

use crate::metrics::{CONNECTIONS_CAPACITY, CONNECTIONS_OPEN, CONNECTIONS_REFUSED, REASON};

/// Reason for refusing a connection.
#[derive(Clone, Copy, Debug)]
pub(super) enum Refusal {
    /// A connection limit is reached.
    TooMany,
    /// The TLS handshake failed or timed out.
    Handshake,
    /// A proxy sent no valid PROXY protocol header.
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

/// Metrics of connections. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Metrics {
    refused: Counter<u64>,
}

impl Metrics {
    /// Registers the metrics. Open connections are derived from the free permits of `places`.
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
