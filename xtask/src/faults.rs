//! `cargo xtask faults`: every fault of `e2e::faults`, many rounds each, and what came of it.

mod report;

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::Args;
use e2e::faults::{Fault, Finding, Setting};

use crate::cases::Cases;
use crate::own_database::OwnDatabase;
use crate::release::{self, Kind};

/// Clients that make full load.
const FULL_LOAD: usize = 128;

/// Which faults, and how often.
#[derive(Args)]
pub(crate) struct Options {
    #[command(flatten)]
    cases: Cases,
    /// How often each fault strikes
    #[arg(long, default_value_t = 20)]
    rounds: u32,
    /// At most 3 rounds, and a database that is away for 5 seconds instead of 60
    #[arg(long)]
    quick: bool,
}

/// Runs them; an error where anything was lost or doubled.
pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let cases = &options.cases;
    let faults = cases.wanted(Fault::ALL, Fault::name);
    if faults.is_empty() {
        return cases.none_of(&Fault::ALL.map(Fault::name));
    }
    release::build(&[Kind::Ingest]).await?;
    let work = async |database: &OwnDatabase| {
        strike(&options.setting(database.url().to_owned()), &faults).await
    };
    let findings = cases.on_own_database("faults", work).await?;
    cases.print(|| report::json(&findings), || report::table(&findings));
    if !findings.iter().all(|(_, finding)| finding.holds()) {
        bail!(
            "points were lost or doubled, memory went over its bound, or nothing was acknowledged"
        );
    }
    Ok(())
}

impl Options {
    fn setting(&self, database_url: String) -> Setting {
        let (rounds, away) = if self.quick { (self.rounds.min(3), 5) } else { (self.rounds, 60) };
        let ingest_service = release::folder().join(Kind::Ingest.program());
        Setting {
            database_url,
            ingest_service,
            rounds,
            away: Duration::from_secs(away),
            full_load: FULL_LOAD,
        }
    }
}

async fn strike(setting: &Setting, faults: &[Fault]) -> anyhow::Result<Vec<(Fault, Finding)>> {
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
