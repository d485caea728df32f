//! Where a service's metrics are made, and the two ways they leave: scraped by Prometheus, and sent over OTLP.

use opentelemetry::metrics::{Meter, MeterProvider as _};
use opentelemetry_sdk::metrics::SdkMeterProvider;
use prometheus::{Registry, TextEncoder};

use super::{TelemetryError, blocking, otlp};

/// The metrics of one service; cheap to clone. Not global, so that two services in one process keep theirs apart.
#[derive(Clone, Debug)]
pub struct Meters {
    provider: SdkMeterProvider,
    registry: Registry,
}

impl Meters {
    /// To be called inside the runtime.
    ///
    /// # Errors
    /// The address of the collector cannot be parsed.
    pub fn new(service: &'static str) -> Result<Self, TelemetryError> {
        let registry = Registry::new();
        let scraped = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            .scope_info_enabled(false)
            .build()
            .map_err(|error| TelemetryError::Registry(error.to_string()))?;
        let provider =
            SdkMeterProvider::builder().with_resource(otlp::resource(service)).with_reader(scraped);
        let provider = match otlp::metric_reader()? {
            Some(sent) => provider.with_reader(sent),
            None => provider,
        };
        Ok(Self { provider: provider.build(), registry })
    }

    /// Makes instruments.
    #[must_use]
    pub fn meter(&self) -> Meter {
        self.provider.meter("tidegauge")
    }

    /// Everything as Prometheus reads it.
    ///
    /// # Errors
    /// A metric cannot be written as text; a defect.
    pub fn render(&self) -> prometheus::Result<String> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }

    /// Sends what is left, in a bounded time.
    pub async fn shutdown(self) {
        let provider = self.provider;
        blocking("metrics", move || provider.shutdown().map_err(|error| error.to_string())).await;
    }
}
