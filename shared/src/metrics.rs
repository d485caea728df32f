//! The metrics, attributes and spans that both services have, each named once; `docs/OBSERVABILITY.md` lists them all.
//!
//! No attribute ever holds what a client chose, such as the id of a device: each has few values, known beforehand.

use opentelemetry::KeyValue;
use opentelemetry::metrics::{AsyncInstrument, Counter, Histogram, Meter, UpDownCounter};

use crate::history::Pair;
use crate::readiness::{Cause, Readiness, ReadinessHandle};

/// Full name of a method of the contract; `_OTHER` for what is none.
pub const RPC_METHOD: &str = "rpc.method";
/// `grpc`.
pub const RPC_SYSTEM_NAME: &str = "rpc.system.name";
/// Status of an answer, as `OK` or `RESOURCE_EXHAUSTED`.
pub const RPC_STATUS: &str = "rpc.response.status_code";
/// `postgresql`.
pub const DB_SYSTEM_NAME: &str = "db.system.name";
/// Which statement, without any value.
pub const DB_QUERY_SUMMARY: &str = "db.query.summary";
/// One word for what failed.
pub const ERROR_TYPE: &str = "error.type";
/// Why something is as it is.
pub const REASON: &str = "reason";

/// `raw`, `minute`, `hour` or `day`.
pub const GRANULARITY: &str = "granularity";

/// Calls by method and status.
pub const CALL_DURATION: Spec = Spec::new(
    "rpc.server.call.duration",
    "s",
    "Duration of a call, from its headers to its last word",
);
/// Calls that are open.
pub const CALLS_OPEN: Spec = Spec::new("tidegauge.calls.open", "{call}", "Calls that are open");
/// Connections that hold one of the places there are, handshakes among them. The semantic conventions have names for those of
/// clients only.
pub const CONNECTIONS_OPEN: Spec = Spec::new(
    "tidegauge.connections.open",
    "{connection}",
    "Connections that are open, handshakes among them",
);
/// How many places there are.
pub const CONNECTIONS_CAPACITY: Spec =
    Spec::new("tidegauge.connections.capacity", "{connection}", "TIDEGAUGE_MAX_CONNECTIONS");
/// Connections that ended before a call could be made.
pub const CONNECTIONS_REFUSED: Spec = Spec::new(
    "tidegauge.connections.refused",
    "{connection}",
    "Connections turned away, by reason",
);
/// Rows of streamed answers.
pub const ROWS: Spec = Spec::new(
    "tidegauge.query.rows",
    "{row}",
    "Rows streamed to clients: points, buckets or anomalies",
);
/// Statements by summary.
pub const DB_OPERATION_DURATION: Spec = Spec::new(
    "db.client.operation.duration",
    "s",
    "Duration of a statement, until its last row is read",
);
/// Refusals by limit.
pub const REFUSALS: Spec = Spec::new(
    "tidegauge.refusals",
    "{refusal}",
    "Calls refused, by the limit that their client reached",
);
/// Which limit.
pub const LIMIT: &str = "limit";
/// Whether work can be done now.
pub const READY: Spec =
    Spec::new("tidegauge.ready", "", "1 where work can be done now, 0 where not");
/// Why not.
pub const NOT_READY: Spec =
    Spec::new("tidegauge.not_ready", "", "1 for the reason why no work can be done now, else 0");
/// Which settings of the database do not go together.
pub const SETTINGS_UNSAFE: Spec = Spec::new(
    "tidegauge.database.settings_unsafe",
    "",
    "1 for two settings of the database and the service that do not go together, else 0",
);
/// Which two settings.
pub const PAIR: &str = "pair";

const DURATIONS: [f64; 16] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
    60.0,
];

/// What a metric is called.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    name: &'static str,
    unit: &'static str,
    description: &'static str,
}

impl Spec {
    /// Name, unit (UCUM; in braces where it is only a word) and a sentence.
    #[must_use]
    pub const fn new(name: &'static str, unit: &'static str, description: &'static str) -> Self {
        Self { name, unit, description }
    }

    /// Adds up.
    #[must_use]
    pub fn counter(&self, meter: &Meter) -> Counter<u64> {
        meter.u64_counter(self.name).with_unit(self.unit).with_description(self.description).build()
    }

    /// Adds and takes away.
    #[must_use]
    pub fn up_down(&self, meter: &Meter) -> UpDownCounter<i64> {
        meter
            .i64_up_down_counter(self.name)
            .with_unit(self.unit)
            .with_description(self.description)
            .build()
    }

    /// Seconds, from half a millisecond to a minute.
    #[must_use]
    pub fn histogram(&self, meter: &Meter) -> Histogram<f64> {
        let builder =
            meter.f64_histogram(self.name).with_unit(self.unit).with_description(self.description);
        builder.with_boundaries(DURATIONS.to_vec()).build()
    }

    /// Counts of things.
    #[must_use]
    pub fn sizes(&self, meter: &Meter, boundaries: &[f64]) -> Histogram<f64> {
        let builder =
            meter.f64_histogram(self.name).with_unit(self.unit).with_description(self.description);
        builder.with_boundaries(boundaries.to_vec()).build()
    }

    /// Asked for whenever metrics are read.
    pub fn observe(
        &self,
        meter: &Meter,
        read: impl Fn(&dyn AsyncInstrument<f64>) + Send + Sync + 'static,
    ) {
        let builder = meter
            .f64_observable_gauge(self.name)
            .with_unit(self.unit)
            .with_description(self.description);
        let _ = builder.with_callback(read).build(); // the meter keeps the callback
    }
}

/// Shows whether work can be done, and why not.
pub fn observe_readiness(meter: &Meter, readiness: &ReadinessHandle) {
    let handle = readiness.clone();
    READY.observe(meter, move |ready| {
        ready.observe(f64::from(u8::from(handle.now() == Readiness::Ready)), &[])
    });
    let handle = readiness.clone();
    NOT_READY.observe(meter, move |not_ready| {
        let now = handle.now();
        for cause in Cause::ALL {
            let holds = matches!(&now, Readiness::Waiting { cause: found, .. } if *found == cause);
            not_ready.observe(f64::from(u8::from(holds)), &[KeyValue::new(REASON, cause.name())]);
        }
    });
}

/// Shows which settings do not go together.
pub fn observe_settings(meter: &Meter, readiness: &ReadinessHandle) {
    let handle = readiness.clone();
    SETTINGS_UNSAFE.observe(meter, move |settings| {
        let conflicts = handle.conflicts();
        for pair in Pair::ALL {
            let is_unsafe = conflicts.iter().any(|conflict| conflict.pair == pair);
            settings.observe(f64::from(u8::from(is_unsafe)), &[KeyValue::new(PAIR, pair.name())]);
        }
    });
}
