//! `cargo xtask faults`: every fault of `e2e::faults`, many rounds each, and what came of it.

mod report;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::Args;
use e2e::faults::{Fault, Finding, Setting};

use crate::own_database::{OwnDatabase, Policies};
use crate::release;
use crate::service::Kind;

/// Clients that make full load.
const FULL_LOAD: usize = 128;

/// Which faults, and how often.
#[derive(Args)]
pub(crate) struct Options {
    /// Only the faults whose name contains one of these
    #[arg(value_name = "FAULT")]
    only: Vec<String>,
    /// How often each fault strikes
    #[arg(long, default_value_t = 20)]
    rounds: u32,
    /// At most 3 rounds, and a database that is away for 5 seconds instead of 60
    #[arg(long)]
    quick: bool,
    /// TimescaleDB Community to use, where a database is created and dropped again; without it an embedded one is started
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    database_url: Option<String>,
    /// Print a JSON array with one entry per fault instead of a table
    #[arg(long)]
    json: bool,
}

/// Runs them; an error where anything was lost or doubled.
pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let faults: Vec<Fault> = Fault::ALL.into_iter().filter(|fault| options.wants(*fault)).collect();
    if faults.is_empty() {
        bail!(
            "no fault is called {}; there are: {}",
            options.only.join(" or "),
            Fault::ALL.map(Fault::name).join(", ")
        );
    }
    release::build(&[Kind::Ingest]).await?;
    let ingest_service = release::folder().join(Kind::Ingest.program());
    let database = OwnDatabase::open(options.database_url.as_deref(), "faults", Policies::Run).await?;
    eprintln!("faults on {}", database.describe());
    let setting = options.setting(database.url().to_owned(), ingest_service);
    let outcome = tokio::select! {
        outcome = strike(&setting, &faults) => outcome,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("ended before all faults had struck")),
    };
    database.close().await;
    let findings = outcome?;
    match options.json {
        true => println!("{}", report::json(&findings)),
        false => println!("{}", report::table(&findings)),
    }
    if !findings.iter().all(|(_, finding)| finding.holds()) {
        bail!("points were lost or doubled, memory went over its bound, or nothing was acknowledged");
    }
    Ok(())
}

impl Options {
    fn wants(&self, fault: Fault) -> bool {
        self.only.is_empty() || self.only.iter().any(|part| fault.name().contains(part.as_str()))
    }

    fn setting(&self, database_url: String, ingest_service: PathBuf) -> Setting {
        let (rounds, away) = if self.quick { (self.rounds.min(3), 5) } else { (self.rounds, 60) };
        Setting { database_url, ingest_service, rounds, away: Duration::from_secs(away), full_load: FULL_LOAD }
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
