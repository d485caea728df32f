//! `cargo xtask abuse`: every case of `e2e::abuse` and `e2e::strain`, and what came of it.

mod report;

use std::time::Instant;

use anyhow::bail;
use clap::Args;
use e2e::abuse::{self, Group, Outcome};
use e2e::strain::{self, Strain};

use crate::own_database::{OwnDatabase, Policies};
use crate::release;
use crate::service::Kind;

/// Which cases, and how much.
#[derive(Args)]
pub(crate) struct Options {
    /// Only the cases and groups of cases whose name contains one of these
    #[arg(value_name = "CASE")]
    only: Vec<String>,
    /// Fewer of everything, and an overload of 10 seconds instead of two minutes
    #[arg(long)]
    quick: bool,
    /// TimescaleDB Community to use, where a database is created and dropped again; without it an embedded one is started
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    database_url: Option<String>,
    /// Print a JSON array with one entry per case instead of a table
    #[arg(long)]
    json: bool,
}

/// Runs them; an error where a case is not as promised.
pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let groups = options.wanted(Group::ALL, Group::name);
    let strains = options.wanted(Strain::ALL, Strain::name);
    if groups.is_empty() && strains.is_empty() {
        let names: Vec<&str> = Group::ALL.map(Group::name).into_iter().chain(Strain::ALL.map(Strain::name)).collect();
        bail!("no case is called {}; there are: {}", options.only.join(" or "), names.join(", "));
    }
    release::build_and_become(&[Kind::Ingest, Kind::Query]).await?;
    let database = OwnDatabase::open(options.database_url.as_deref(), "abuse", Policies::Run).await?;
    eprintln!("abuse on {}", database.describe());
    let outcomes = tokio::select! {
        outcomes = run_each(database.url(), options.quick, &groups, &strains) => Ok(outcomes),
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("ended before all cases were through")),
    };
    database.close().await;
    let outcomes = outcomes?;
    match options.json {
        true => println!("{}", report::json(&outcomes)),
        false => println!("{}", report::table(&outcomes)),
    }
    let broken: Vec<&str> = outcomes.iter().filter(|outcome| !outcome.ok).map(|outcome| outcome.case).collect();
    if !broken.is_empty() {
        bail!("not as promised: {}", broken.join(", "));
    }
    Ok(())
}

impl Options {
    fn wanted<T: Copy, const N: usize>(&self, all: [T; N], name: fn(T) -> &'static str) -> Vec<T> {
        let wants = |case: &T| self.only.is_empty() || self.only.iter().any(|part| name(*case).contains(part.as_str()));
        all.into_iter().filter(wants).collect()
    }
}

async fn run_each(database_url: &str, quick: bool, groups: &[Group], strains: &[Strain]) -> Vec<Outcome> {
    let program = |kind: Kind| release::folder().join(kind.program());
    let (ingest_service, query_service) = (program(Kind::Ingest), program(Kind::Query));
    let database_url = database_url.to_owned();
    let strained = strain::Setting {
        database_url: database_url.clone(),
        ingest_service: ingest_service.clone(),
        quick,
        judge_latency: true,
    };
    let abused = abuse::Setting { database_url, ingest_service, query_service };
    let mut outcomes = Vec::new();
    for &group in groups {
        let began = Instant::now();
        let ended = abused.run(group).await;
        outcomes.extend(ended.unwrap_or_else(|error| vec![not_brought_about(group.name(), &error)]));
        told(group.name(), began);
    }
    for &strain in strains {
        let began = Instant::now();
        let ended = strained.run(strain).await;
        outcomes.push(ended.unwrap_or_else(|error| not_brought_about(strain.name(), &error)));
        told(strain.name(), began);
    }
    outcomes
}

/// A case that does not run to its end is not as promised; the others run all the same.
fn not_brought_about(case: &'static str, error: &anyhow::Error) -> Outcome {
    Outcome { case, expected: "runs to its end".to_owned(), seen: format!("{error:#}"), ok: false }
}

fn told(name: &str, began: Instant) {
    eprintln!("· {name} ({:.1} s)", began.elapsed().as_secs_f64());
}
