//! Names of the metrics, attributes and spans that both services have. `docs/OBSERVABILITY.md`
//! lists all of them.
//!
//! No attribute contains text chosen by clients, such as device ids. Each has a small, fixed set of
//! values.

use opentelemetry::KeyValue;
use opentelemetry::metrics::{AsyncInstrument, Counter, Histogram, Meter, UpDownCounter};

use crate::history::Pair;
use crate::readiness::{Cause, Readiness, ReadinessHandle};

/// Attribute: full name of a method of the contract, or `_OTHER` for any other method.
pub const RPC_METHOD: &str = "rpc.method";
/// Attribute: always `grpc`.
pub const RPC_SYSTEM_NAME: &str = "rpc.system.name";
/// Attribute: status code of a response, for example `OK` or `RESOURCE_EXHAUSTED`.
pub const RPC_STATUS: &str = "rpc.response.status_code";
/// Attribute: always `postgresql`.
pub const DB_SYSTEM_NAME: &str = "db.system.name";
/// Attribute: summary of a statement without any values.
pub const DB_QUERY_SUMMARY: &str = "db.query.summary";
/// Attribute: one-word class of an error.
pub const ERROR_TYPE: &str = "error.type";
/// Attribute: reason of a refusal or state.
pub const REASON: &str = "reason";

/// Attribute: `raw`, `minute`, `hour` or `day`.
pub const GRANULARITY: &str = "granularity";

/// Metric: duration of calls by method and status.
pub const CALL_DURATION: Spec = Spec::new(
    "rpc.server.call.duration",
    "s",
    "Duration of a call, from receiving its headers to sending the end of its response",
);
/// Metric: open calls.
pub const CALLS_OPEN: Spec = Spec::new("tidegauge.calls.open", "{call}", "Open calls");
/// Metric: open connections, including those in a handshake. The semantic conventions only name
/// connections of clients.
pub const CONNECTIONS_OPEN: Spec = Spec::new(
    "tidegauge.connections.open",
    "{connection}",
    "Open connections, including those in a handshake",
);
/// Metric: maximum number of connections.
pub const CONNECTIONS_CAPACITY: Spec = Spec::new(
    "tidegauge.connections.capacity",
    "{connection}",
    "Maximum number of connections (TIDEGAUGE_MAX_CONNECTIONS)",
);
/// Metric: connections refused before any call.
pub const CONNECTIONS_REFUSED: Spec =
    Spec::new("tidegauge.connections.refused", "{connection}", "Connections refused, by reason");
/// Metric: rows of streamed answers.
pub const ROWS: Spec = Spec::new(
    "tidegauge.query.rows",
    "{row}",
    "Rows streamed to clients: points, buckets or anomalies",
);
/// Metric: duration of statements by summary.
pub const DB_OPERATION_DURATION: Spec = Spec::new(
    "db.client.operation.duration",
    "s",
    "Duration of a statement, until its last row is read",
);
/// Metric: calls refused by limit.
pub const REFUSALS: Spec = Spec::new(
    "tidegauge.refusals",
    "{refusal}",
    "Calls refused, by the limit that the client reached",
);
/// Attribute: name of a limit.
pub const LIMIT: &str = "limit";
/// Metric: whether the service is ready.
pub const READY: Spec = Spec::new("tidegauge.ready", "", "1 if the service is ready, else 0");
/// Metric: reason why the service is not ready.
pub const NOT_READY: Spec =
    Spec::new("tidegauge.not_ready", "", "1 for the reason why the service is not ready, else 0");
/// Metric: conflicting settings.
pub const SETTINGS_UNSAFE: Spec = Spec::new(
    "tidegauge.database.settings_unsafe",
    "",
    "1 if two settings of the database and the service conflict, else 0",
);
/// Attribute: name of a pair of settings.
pub const PAIR: &str = "pair";

/// Bucket boundaries of durations in seconds.
const DURATIONS: [f64; 16] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
    60.0,
];

/// Definition of a metric.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    name: &'static str,
    unit: &'static str,
    description: &'static str,
}

impl Spec {
    /// Defines a metric by name, unit (UCUM, in braces if it is only an annotation) and
    /// description.
    #[must_use]
    pub const fn new(name: &'static str, unit: &'static str, description: &'static str) -> Self {
        Self { name, unit, description }
    }

    /// Creates a counter.
    #[must_use]
    pub fn counter(&self, meter: &Meter) -> Counter<u64> {
        meter.u64_counter(self.name).with_unit(self.unit).with_description(self.description).build()
    }

    /// Creates an up-down counter.
    #[must_use]
    pub fn up_down(&self, meter: &Meter) -> UpDownCounter<i64> {
        meter
            .i64_up_down_counter(self.name)
            .with_unit(self.unit)
            .with_description(self.description)
            .build()
    }

    /// Creates a histogram of durations in seconds, with boundaries from 0.5 ms to 60 s.
    #[must_use]
    pub fn histogram(&self, meter: &Meter) -> Histogram<f64> {
        let builder =
            meter.f64_histogram(self.name).with_unit(self.unit).with_description(self.description);
        builder.with_boundaries(DURATIONS.to_vec()).build()
    }

    /// Creates a histogram of sizes with the given boundaries.
    #[must_use]
    pub fn sizes(&self, meter: &Meter, boundaries: &[f64]) -> Histogram<f64> {
        let builder =
            meter.f64_histogram(self.name).with_unit(self.unit).with_description(self.description);
        builder.with_boundaries(boundaries.to_vec()).build()
    }

    /// Creates a gauge whose callback runs whenever metrics are collected.
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

/// Registers the metrics of readiness.
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

/// Registers the metric of conflicting settings.
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
