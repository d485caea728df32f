//! Measures the ingest rate that lasts: minutes at full speed while the policies run.
//!
//! | part | duty |
//! |---|---|
//! | `feed` | endless batches of points with current timestamps |
//! | `sender` | streams that send a feed at full speed or at a fixed rate |
//! | `sample` | figures of the database, taken every ten seconds |
//! | `trial` | one run: history, load, samples, queries before and after compaction |
//! | `rivals` | the same points written to other databases for the same time |
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
use crate::bench::{BenchSettings, PartResult, step};
use crate::own_database::OwnDatabase;
use crate::release;
use feed::Fleet;
use report::SustainedReport;
use trial::Trial;

/// Fleets that send: number of series, and points per series in a batch.
const FLEETS: [Fleet; 2] = [Fleet { series: 1_000, run: 100 }, Fleet { series: 100_000, run: 10 }];
/// Length of the load.
const LENGTH: Duration = Duration::from_secs(300);
/// Length of the load with `--quick`.
const QUICK_LENGTH: Duration = Duration::from_secs(60);
/// Share of the last rate that is tried next if the rollups did not keep up.
const STEP_DOWN: f64 = 0.75;
/// Maximum number of rates that are tried after full speed.
const MAX_STEPS_DOWN: usize = 3;

/// Measures the sustained rate of each fleet and reports the results.
pub(in crate::bench) async fn run(setting: &BenchSettings) -> anyhow::Result<PartResult> {
    let length = if setting.quick { QUICK_LENGTH } else { LENGTH };
    let scratch = tempfile::tempdir_in(release::target())?;
    let mut report = SustainedReport::new(Machine::this(), length);
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
    Ok(PartResult { json: report.json(), text: report.to_string() })
}
