//! The rate that lasts: points at full speed for minutes, with the policies running as they do in production.
//!
//! | part | duty |
//! |---|---|
//! | `feed` | endless batches whose points are measured now |
//! | `sender` | streams that send a feed at full speed or at a rate |
//! | `sample` | what the database looks like every ten seconds |
//! | `trial` | one run: history, load, samples, questions before and after compaction |
//! | `rivals` | the same points into other databases for the same time |
//! | `report` | tables and JSON |

mod feed;
mod report;
mod rivals;
mod sample;
mod sender;
mod trial;

use std::time::Duration;

use shared::time;

use crate::bench::machine::Machine;
use crate::bench::{Outcome, Setting, step};
use crate::own_database::OwnDatabase;
use crate::release;
use feed::Fleet;
use report::Report;
use trial::Trial;

/// Series of the fleets that send, and points of a series in a batch.
const FLEETS: [Fleet; 2] = [Fleet { series: 1_000, run: 100 }, Fleet { series: 100_000, run: 10 }];
/// How long the load lasts, and with `--quick`.
const LENGTH: Duration = Duration::from_secs(300);
const QUICK_LENGTH: Duration = Duration::from_secs(60);
/// A rate that the database did not keep up with is followed by one of this share.
const STEP_DOWN: f64 = 0.75;
/// Rates that are tried after full speed.
const MAX_STEPS_DOWN: usize = 3;

/// Measures, and describes the results.
pub(in crate::bench) async fn run(setting: &Setting) -> anyhow::Result<Outcome> {
    let length = if setting.quick { QUICK_LENGTH } else { LENGTH };
    let scratch = tempfile::tempdir_in(release::target())?;
    let mut report = Report::new(Machine::this(), length);
    for fleet in FLEETS {
        let mut rate = None;
        for _ in 0..=MAX_STEPS_DOWN {
            step(&match rate {
                None => format!("{} series at full speed for {length:?}", fleet.series),
                Some(rate) => {
                    format!("{} series at {rate:.0} points/s for {length:?}", fleet.series)
                }
            });
            let trial = Trial { fleet, length, rate, now: time::now_micros() };
            let run = setting.on_database(async |database: &OwnDatabase| {
                let outcome = trial.run(database).await?;
                anyhow::Ok((database.edition().clone(), outcome))
            });
            let (edition, outcome) = run.await?;
            let keeps_up = outcome.keeps_up();
            rate = Some(outcome.rate() * STEP_DOWN);
            report.add(fleet, edition, outcome);
            if keeps_up {
                break;
            }
        }
        report.rivals.extend(rivals::run(fleet, length, scratch.path()).await?);
    }
    Ok(Outcome { json: report.json(), text: report.to_string() })
}
