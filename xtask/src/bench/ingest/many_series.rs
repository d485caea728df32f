//! A great many series: how fast they are created, how fast a service that has just started gets to know them, and what
//! knowing one of them costs in memory.

use super::calls::{self, Call};
use super::render::Form;
use super::rounds::Bench;
use super::shape::{SECOND, Shape};
use crate::release::Kind;
use crate::service::Service;

/// What was found out, one point a series throughout.
#[derive(Clone, Copy, Debug)]
pub(super) struct ManySeries {
    pub(super) series: usize,
    /// Points per second where every series is new.
    pub(super) new_rate: f64,
    /// The same where all are in the database and none in the service's cache.
    pub(super) known_rate: f64,
    /// Memory of the service for each series in its cache; `None` where the system does not say.
    pub(super) bytes_per_series: Option<f64>,
}

impl Bench<'_> {
    /// Ends without the series that the bench began with.
    pub(super) async fn measure_many_series(&self) -> anyhow::Result<ManySeries> {
        let few = self.plan.shape(super::plan::Kind::Few);
        let all = Shape { devices: self.plan.most_devices, run: 1, steps: 1, ..few };
        self.table.forget_series().await?;
        let service = self.fresh_service().await?;
        let new_rate = self.send_all(&service, &all).await?;
        service.stop().await;
        self.table.settle().await?;
        let service = self.fresh_service().await?;
        // As many points of few series first, so that what is more afterwards is the series.
        let as_many =
            Shape { devices: 1_000, run: all.devices / 1_000, start: all.start + SECOND, ..all };
        self.send_all(&service, &as_many).await?;
        let before = service.memory().and_then(e2e::Memory::now_mib);
        let later = Shape { start: all.start + 3_600 * SECOND, ..all };
        let known_rate = self.send_all(&service, &later).await?;
        let after = service.memory().and_then(e2e::Memory::now_mib);
        service.stop().await;
        let mib = after.zip(before).map(|(after, before)| after - before);
        let bytes_per_series = mib.map(|mib| mib * 1024.0 * 1024.0 / all.devices as f64);
        Ok(ManySeries { series: all.devices, new_rate, known_rate, bytes_per_series })
    }

    async fn fresh_service(&self) -> anyhow::Result<Service> {
        Service::start(Kind::Ingest, self.database.url()).await
    }

    /// Points per second.
    async fn send_all(&self, service: &Service, shape: &Shape) -> anyhow::Result<f64> {
        let elapsed = calls::send(service, Call::IngestWithAcks, shape, Form::Series).await?;
        Ok(shape.points() as f64 / elapsed.as_secs_f64())
    }
}
