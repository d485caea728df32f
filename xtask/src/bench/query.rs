//! Measures the latency of queries: through query-service, directly in SQL, and in other
//! time-series databases with the same points.

mod data;
mod load;

mod answer;
mod question;

mod direct;
mod influxdb;
mod paths;
mod service;
mod victoriametrics;

mod fresh;
mod latencies;
mod pressure;
mod rounds;

mod report;

use std::time::Duration;

use shared::time;

use super::machine::Machine;
use super::{BenchSettings, PartResult};
use crate::own_database::OwnDatabase;
use crate::release;
use data::{Dataset, Scale};
pub(super) use fresh::{QuestionTimes, fill_history, query_until, sustained_device};
use report::QueryReport;
use rounds::Plan;

/// Measures queries and reports the results.
pub(super) async fn run(setting: &BenchSettings) -> anyhow::Result<PartResult> {
    let scratch = tempfile::tempdir_in(release::target())?;
    let mut report = QueryReport::new(Machine::this());
    for &(scale, plan) in plans(setting.quick, setting.server.is_none()) {
        let measured = setting.on_database(async |database: &OwnDatabase| {
            let data = Dataset::new(scale, time::now_micros());
            let figures = rounds::measure(database, data, plan, scratch.path()).await?;
            anyhow::Ok((database.edition().clone(), database.is_embedded(), figures))
        });
        let (edition, embedded, figures) = measured.await?;
        report.add(scale, edition, embedded, figures);
    }
    Ok(PartResult { json: report.json(), text: report.to_string() })
}

/// Returns the amounts of data to measure, each with its number of repetitions. The embedded
/// database keeps everything in memory, so it gets the least data.
fn plans(quick: bool, embedded: bool) -> &'static [(Scale, Plan)] {
    const fn plan(
        (repetitions, million_repetitions): (usize, usize),
        max_seconds: u64,
        rivals: bool,
        pressure_seconds: u64,
    ) -> Plan {
        let pressure =
            if pressure_seconds == 0 { None } else { Some(Duration::from_secs(pressure_seconds)) };
        Plan {
            repetitions,
            million_repetitions,
            max_time: Duration::from_secs(max_seconds),
            rivals,
            pressure,
        }
    }
    const QUICK: &[(Scale, Plan)] =
        &[(Scale::Once, plan((100, 5), 3, true, 5)), (Scale::TenTimes, plan((50, 3), 3, false, 0))];
    const FULL: &[(Scale, Plan)] = &[
        (Scale::Once, plan((300, 20), 15, true, 20)),
        (Scale::TenTimes, plan((200, 10), 10, true, 0)),
        (Scale::HundredTimes, plan((200, 10), 10, false, 0)),
    ];
    match (quick, embedded) {
        (_, true) => &QUICK[..1],
        (true, false) => QUICK,
        (false, false) => FULL,
    }
}
