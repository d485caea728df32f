//! Spans and durations of statements, named by a summary without any values.

use std::time::Instant;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Histogram, Meter};
use tracing::Instrument as _;

use crate::metrics;

/// Measures statements. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Statements(Histogram<f64>);

impl Statements {
    /// Creates the instrument.
    #[must_use]
    pub fn new(meter: &Meter) -> Self {
        Self(metrics::DB_OPERATION_DURATION.histogram(meter))
    }

    /// Runs a statement in a span of its own. `summary` names it, for example "SELECT series". If
    /// the future is dropped early, the span is recorded but no duration.
    ///
    /// # Errors
    /// The error of the statement.
    pub async fn run<T>(
        &self,
        summary: &'static str,
        statement: impl Future<Output = sqlx::Result<T>>,
    ) -> sqlx::Result<T> {
        let span = span(summary);
        let began = Instant::now();
        let outcome = statement.instrument(span.clone()).await;
        self.ended(summary, &span, began, outcome.as_ref().err());
        outcome
    }

    /// Records the end of a statement that ran inside [`span`].
    pub fn ended(
        &self,
        summary: &'static str,
        span: &tracing::Span,
        began: Instant,
        error: Option<&sqlx::Error>,
    ) {
        let attributes = [
            KeyValue::new(metrics::DB_SYSTEM_NAME, "postgresql"),
            KeyValue::new(metrics::DB_QUERY_SUMMARY, summary),
            KeyValue::new(metrics::ERROR_TYPE, error.map_or("", error_type)),
        ];
        let known = if error.is_some() { 3 } else { 2 };
        self.0.record(began.elapsed().as_secs_f64(), &attributes[..known]);
        if let Some(error) = error {
            span.record("error.type", error_type(error)).record("otel.status_code", "ERROR");
        }
    }
}

/// Returns the span of a statement. It is disabled, and free, if neither a collector nor the log
/// records it.
#[must_use]
pub fn span(summary: &'static str) -> tracing::Span {
    tracing::debug_span!(
        "sql",
        otel.name = summary,
        otel.kind = "client",
        otel.status_code = tracing::field::Empty,
        db.system.name = "postgresql",
        db.query.summary = summary,
        error.type = tracing::field::Empty,
    )
}

/// Classifies an error for labels: one of a few fixed words.
#[must_use]
pub fn error_type(error: &sqlx::Error) -> &'static str {
    match error {
        sqlx::Error::Io(error) if error.kind() == std::io::ErrorKind::TimedOut => "timeout",
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) => "connection",
        sqlx::Error::PoolTimedOut => "pool_exhausted",
        sqlx::Error::Database(error) => {
            match error.code().as_deref().and_then(|code| code.get(..2)) {
                Some("08" | "57") => "shutdown",
                Some("28" | "3D") => "login",
                Some("40" | "55") => "conflict",
                Some("53") => "resources",
                Some("22" | "23" | "44" | "P0") => "refused",
                _ => "other",
            }
        }
        _ => "other",
    }
}
