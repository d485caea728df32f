//! Measures the speed of ingest, next to the database's own limit and to other stores.

mod calls;
mod copy;
mod figures;
mod latency;
mod many_series;
mod plan;
mod render;
mod report;
mod rival;
mod rounds;
mod seed;
mod shape;
pub(super) mod sustained;
mod wire;

use std::path::{Path, PathBuf};
use std::time::Duration;

use shared::time;

use super::machine::Machine;
use super::table::PointsTable;
use super::{BenchSettings, PartResult};
use crate::own_database::OwnDatabase;
use crate::release::{self, Kind};
use crate::service::Service;
use plan::Plan;
use report::IngestReport;
use rounds::IngestBench;
use shape::Shape;

/// Measures ingest and reports the results.
pub(super) async fn run(setting: &BenchSettings) -> anyhow::Result<PartResult> {
    let python = seed::install().await?;
    let scratch = tempfile::tempdir_in(release::target())?;
    let measured = setting.on_database(async |database: &OwnDatabase| {
        measure(setting.quick, database, python, scratch.path()).await
    });
    let report = measured.await?;
    Ok(PartResult { json: report.json(), text: report.to_string() })
}

/// Ingests points of 1,000 devices through acknowledged streams, at `rate` points per second.
/// `start` is the time of the first point, in microseconds since the Unix epoch. Returns once all
/// points are acknowledged.
pub(super) async fn ingest_at_rate(
    service: &Service,
    start: i64,
    rate: f64,
    length: Duration,
) -> anyhow::Result<()> {
    let one_step = Shape { devices: 1_000, run: 100, steps: 1, start, days: 1 };
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a few hundred at most
    let steps = (rate * length.as_secs_f64() / one_step.points() as f64).ceil() as usize;
    latency::at_rate(service, &Shape { steps, ..one_step }, rate).await?;
    Ok(())
}

async fn measure(
    quick: bool,
    database: &OwnDatabase,
    python: PathBuf,
    scratch: &Path,
) -> anyhow::Result<IngestReport> {
    let plan = Plan::new(quick, database.is_embedded(), time::now_micros());
    let names: Vec<String> = (0..plan.many_devices).map(shape::device_id).collect();
    let bench = IngestBench {
        plan,
        database,
        table: PointsTable(database),
        service: Service::start(Kind::Ingest, database.url()).await?,
        series_ids: PointsTable(database).create_series(&names, shape::METRIC).await?,
        python,
        scratch,
        light_pause: Duration::from_millis(if quick { 50 } else { 100 }),
        light_length: Duration::from_secs(if quick { 8 } else { 30 }),
    };
    let figures = bench.measure().await?;
    bench.service.stop().await;
    let edition = database.edition().clone();
    Ok(IngestReport {
        plan,
        edition,
        embedded: database.is_embedded(),
        machine: Machine::this(),
        figures,
    })
}
