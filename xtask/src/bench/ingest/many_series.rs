//! Measurements with a great many series: how fast new series are created, how fast a service that
//! has just started looks up existing ones, and how much memory each cached series takes.

use super::calls::{self, IngestCall};
use super::figures::ManySeries;
use super::render::Form;
use super::shape::{SECOND, Shape};
use crate::bench::table::PointsTable;
use crate::own_database::OwnDatabase;
use crate::release::Kind;
use crate::service::Service;

/// Measures with one point for each device of `all`. Removes every series that existed before.
pub(super) async fn measure(database: &OwnDatabase, all: &Shape) -> anyhow::Result<ManySeries> {
    let table = PointsTable(database);
    table.forget_series().await?;
    let service = start_service(database).await?;
    let new_rate = points_per_second(&service, all).await?;
    service.stop().await;
    table.settle().await?;
    let service = start_service(database).await?;
    // Sends as many points of few series first. Memory that grows afterwards is due to the series.
    let few_series =
        Shape { devices: 1_000, run: all.devices / 1_000, start: all.start + SECOND, ..*all };
    points_per_second(&service, &few_series).await?;
    let before = service.memory().and_then(e2e::Memory::now_mib);
    let later = Shape { start: all.start + 3_600 * SECOND, ..*all };
    let known_rate = points_per_second(&service, &later).await?;
    let after = service.memory().and_then(e2e::Memory::now_mib);
    service.stop().await;
    let mib = after.zip(before).map(|(after, before)| after - before);
    let bytes_per_series = mib.map(|mib| mib * 1024.0 * 1024.0 / all.devices as f64);
    Ok(ManySeries { series: all.devices, new_rate, known_rate, bytes_per_series })
}

async fn start_service(database: &OwnDatabase) -> anyhow::Result<Service> {
    Service::start(Kind::Ingest, database.url()).await
}

async fn points_per_second(service: &Service, shape: &Shape) -> anyhow::Result<f64> {
    let elapsed = calls::send(service, IngestCall::IngestWithAcks, shape, Form::Series).await?;
    Ok(shape.points() as f64 / elapsed.as_secs_f64())
}
