//! Logs, spans and metrics leave the process here. Events go to standard error, so that what a command prints stays apart;
//! spans and metrics go to an OpenTelemetry collector where one is named.

mod calls;
mod log_line;
mod meters;
mod otlp;
mod repeats;
mod statements;

use std::io;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::ExporterBuildError;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::filter::{LevelFilter, ParseError, Targets};
use tracing_subscriber::fmt::format::Format;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

use crate::config::{LogConfig, LogFormat};
use crate::shutdown::TELL;
use log_line::WithTrace;

pub use calls::CallNotes;
pub(crate) use calls::Calls;
pub use meters::Meters;
pub use repeats::Repeats;
pub use statements::{Statements, error_type, span};

/// The crates whose spans are exported.
const OURS: [&str; 3] = ["shared", "ingest_service", "query_service"];

/// Why nothing can be logged or exported.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// Of the log.
    #[error("TIDEGAUGE_LOG: {0}")]
    Levels(#[from] ParseError),
    /// Of a variable that OpenTelemetry names.
    #[error("{name} is {found:?}: {accepted}")]
    Variable {
        /// The variable.
        name: &'static str,
        /// Its value.
        found: String,
        /// What is accepted.
        accepted: &'static str,
    },
    /// Of the exporter.
    #[error("cannot export to the collector that OTEL_EXPORTER_OTLP_ENDPOINT names: {0}")]
    Exporter(#[from] ExporterBuildError),
    /// Of the registry of metrics; a defect.
    #[error("cannot register metrics: {0}")]
    Registry(String),
}

/// What is to be told before the process ends.
#[derive(Debug, Default)]
pub struct Telemetry {
    tracer: Option<SdkTracerProvider>,
}

/// Installs the process-wide logger and, where a collector is named, the export of spans. To be called inside the runtime.
///
/// # Errors
/// The levels cannot be parsed, or the collector's address cannot.
pub fn init(config: &LogConfig, service: &'static str) -> Result<Telemetry, TelemetryError> {
    let tracer = otlp::tracer_provider(service)?;
    let export = tracer.as_ref().map(|provider| {
        let spans = tracing_opentelemetry::layer().with_tracer(provider.tracer("tidegauge"));
        let ours = OURS.map(|target| (target, LevelFilter::DEBUG));
        spans
            .with_location(false)
            .with_threads(false)
            .with_filter(Targets::new().with_targets(ours))
    });
    let (plain, json) = match config.format {
        LogFormat::Plain => (Some(WithTrace::plain(Format::default())), None),
        LogFormat::Json => {
            (None, Some(WithTrace::json(Format::default().json().flatten_event(true))))
        }
    };
    let levels = || EnvFilter::try_new(&config.levels);
    let plain = plain
        .map(|line| tracing_subscriber::fmt::layer().event_format(line).with_writer(io::stderr));
    let json = json.map(|line| {
        tracing_subscriber::fmt::layer().json().event_format(line).with_writer(io::stderr)
    });
    tracing_subscriber::registry()
        .with(plain.map(|layer| Ok::<_, ParseError>(layer.with_filter(levels()?))).transpose()?)
        .with(json.map(|layer| Ok::<_, ParseError>(layer.with_filter(levels()?))).transpose()?)
        .with(export)
        .init();
    Ok(Telemetry { tracer })
}

impl Telemetry {
    /// Sends what is left, in a bounded time; to be called last.
    pub async fn shutdown(self) {
        if let Some(tracer) = self.tracer {
            blocking("spans", move || tracer.shutdown().map_err(|error| error.to_string())).await;
        }
    }
}

/// Shutting an exporter down blocks, and waits for tasks of the runtime.
async fn blocking(
    what: &'static str,
    shutdown: impl FnOnce() -> Result<(), String> + Send + 'static,
) {
    match tokio::time::timeout(TELL, tokio::task::spawn_blocking(shutdown)).await {
        Ok(Ok(Ok(()))) => {}
        Ok(Ok(Err(error))) => tracing::warn!(error, "the last {what} did not reach the collector"),
        Ok(Err(_)) | Err(_) => {
            tracing::warn!(timeout = ?TELL, "the last {what} did not reach the collector")
        }
    }
}
