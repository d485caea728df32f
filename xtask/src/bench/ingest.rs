//! How fast points are taken in, beside the database's own limit and other ways of storing them.

mod calls;
mod copy;
mod latency;
mod plan;
mod render;
mod report;
mod rival;
mod rounds;
mod seed;
mod series;
mod shape;
pub(super) mod sustained;
mod wire;

use std::path::{Path, PathBuf};
use std::time::Duration;

use shared::time;

use super::machine::Machine;
use super::table::Table;
use super::{Outcome, Setting};
use crate::own_database::OwnDatabase;
use crate::release::{self, Kind};
use crate::service::Service;
use plan::Plan;
use report::Report;
use rounds::Bench;
use shape::Shape;

/// Measures, and says what came of it.
pub(super) async fn run(setting: &Setting) -> anyhow::Result<Outcome> {
    let python = seed::install().await?;
    let scratch = tempfile::tempdir_in(release::target())?;
    let measured = setting.on_database(async |database: &OwnDatabase| {
        measure(setting.quick, database, python, scratch.path()).await
    });
    let report = measured.await?;
    Ok(Outcome { json: report.json(), text: report.to_string() })
}

/// Takes in points of 1,000 devices through acknowledged streams, at a steady rate of so many points a second, from a time on
/// (microseconds since the Unix epoch). Returns once all are acknowledged.
pub(super) async fn pour(
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
) -> anyhow::Result<Report> {
    let plan = Plan::new(quick, database.is_embedded(), time::now_micros());
    let (pause, length) = if quick { (50, 8) } else { (100, 30) };
    let names: Vec<String> = (0..plan.many_devices).map(shape::device_id).collect();
    let bench = Bench {
        plan,
        database,
        table: Table(database),
        service: Service::start(Kind::Ingest, database.url()).await?,
        series_ids: Table(database).create_series(&names, shape::METRIC).await?,
        python,
        scratch,
        light: (Duration::from_millis(pause), Duration::from_secs(length)),
    };
    let figures = bench.measure().await?;
    bench.service.stop().await;
    let edition = database.edition().clone();
    Ok(Report {
        plan,
        edition,
        embedded: database.is_embedded(),
        machine: Machine::this(),
        figures,
    })
}
