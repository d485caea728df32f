//! How fast questions are answered: through query-service, directly in SQL, and by other time-series databases that hold the
//! same points.

mod data;
mod load;

mod answer;
mod question;

mod direct;
mod influxdb;
mod service;
mod victoriametrics;
mod way;

mod fresh;
mod pressure;
mod rounds;

mod report;

use std::time::Duration;

use shared::time;

use super::machine::Machine;
use super::{Outcome, Setting};
use crate::own_database::OwnDatabase;
use crate::release;
use data::{Data, Scale};
pub(super) use fresh::{QuestionTimes, ask_until, fill_history, sustained_device};
use report::Report;
use rounds::Plan;

/// Measures, and says what came of it.
pub(super) async fn run(setting: &Setting) -> anyhow::Result<Outcome> {
    let scratch = tempfile::tempdir_in(release::target())?;
    let mut report = Report::new(Machine::this());
    for &(scale, plan) in plans(setting.quick, setting.server.is_none()) {
        let measured = setting.on_database(async |database: &OwnDatabase| {
            let data = Data::new(scale, time::now_micros());
            let figures = rounds::measure(database, data, plan, scratch.path()).await?;
            anyhow::Ok((database.edition().clone(), database.is_embedded(), figures))
        });
        let (edition, embedded, figures) = measured.await?;
        report.add(scale, edition, embedded, figures);
    }
    Ok(Outcome { json: report.json(), text: report.to_string() })
}

/// How much data, and how often it is asked for. The embedded database keeps everything in memory: it gets the least.
fn plans(quick: bool, embedded: bool) -> &'static [(Scale, Plan)] {
    const fn plan(
        (repetitions, millions): (usize, usize),
        most_seconds: u64,
        rivals: bool,
        more_seconds: u64,
    ) -> Plan {
        let more = if more_seconds == 0 { None } else { Some(Duration::from_secs(more_seconds)) };
        Plan { repetitions, millions, most_time: Duration::from_secs(most_seconds), rivals, more }
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
