//! `cargo xtask faults`: injects every fault of `e2e::faults` for several rounds, and reports the
//! findings.

mod report;

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::Args;
use e2e::faults::{Fault, Finding, Setting};

use crate::cases::Cases;
use crate::own_database::OwnDatabase;
use crate::release::{self, Kind};

/// Number of concurrent clients that saturate the service.
const SATURATING_CLIENTS: usize = 128;

/// Options that select the faults and the number of rounds.
#[derive(Args)]
pub(crate) struct Options {
    #[command(flatten)]
    cases: Cases,
    /// How often to inject each fault
    #[arg(long, default_value_t = 20)]
    rounds: u32,
    /// Run at most 3 rounds, and take the database away for 5 seconds instead of 60
    #[arg(long)]
    quick: bool,
}

/// Runs the selected faults. Fails if a point was lost or stored twice, if memory exceeded its
/// limit, or if nothing was acknowledged.
pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let cases = &options.cases;
    let faults = cases.selected(Fault::ALL, Fault::name);
    if faults.is_empty() {
        return cases.none_selected(&Fault::ALL.map(Fault::name));
    }
    release::build(&[Kind::Ingest]).await?;
    let work = async |database: &OwnDatabase| {
        inject(&options.setting(database.url().to_owned()), &faults).await
    };
    let findings = cases.on_own_database("faults", work).await?;
    cases.print(|| report::json(&findings), || report::table(&findings));
    if !findings.iter().all(|(_, finding)| finding.holds()) {
        bail!(
            "points were lost or stored twice, memory exceeded its limit, or nothing was \
             acknowledged; the table says which"
        );
    }
    Ok(())
}

impl Options {
    fn setting(&self, database_url: String) -> Setting {
        let rounds = if self.quick { self.rounds.min(3) } else { self.rounds };
        let away = Duration::from_secs(if self.quick { 5 } else { 60 });
        let ingest_service = release::folder().join(Kind::Ingest.program());
        Setting { database_url, ingest_service, rounds, away, full_load: SATURATING_CLIENTS }
    }
}

async fn inject(setting: &Setting, faults: &[Fault]) -> anyhow::Result<Vec<(Fault, Finding)>> {
    let mut findings = Vec::new();
    for &fault in faults {
        let began = Instant::now();
        let finding = setting.run(fault).await.with_context(|| fault.name())?;
        eprintln!("· {} ({:.1} s)", fault.name(), began.elapsed().as_secs_f64());
        finding.evidence.iter().for_each(|evidence| eprintln!("  {evidence}"));
        findings.push((fault, finding));
    }
    Ok(findings)
}
