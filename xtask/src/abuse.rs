//! `cargo xtask abuse`: every case of `e2e::abuse` and `e2e::strain`, and what came of it.

mod report;

use std::time::Instant;

use anyhow::bail;
use clap::Args;
use e2e::abuse::{self, Group, Outcome};
use e2e::strain::{self, Strain};

use crate::cases::Cases;
use crate::own_database::OwnDatabase;
use crate::release::{self, Kind};

/// Which cases, and how much.
#[derive(Args)]
pub(crate) struct Options {
    #[command(flatten)]
    cases: Cases,
    /// Fewer of everything, and an overload of 10 seconds instead of two minutes
    #[arg(long)]
    quick: bool,
}

/// Runs them; an error where a case is not as promised.
pub(crate) async fn run(Options { cases, quick }: Options) -> anyhow::Result<()> {
    let groups = cases.wanted(Group::ALL, Group::name);
    let strains = cases.wanted(Strain::ALL, Strain::name);
    if groups.is_empty() && strains.is_empty() {
        let names: Vec<&str> =
            Group::ALL.map(Group::name).into_iter().chain(Strain::ALL.map(Strain::name)).collect();
        return cases.none_of(&names);
    }
    release::build_and_become(&[Kind::Ingest, Kind::Query]).await?;
    let work =
        async |database: &OwnDatabase| Ok(run_each(database.url(), quick, &groups, &strains).await);
    let outcomes = cases.on_own_database("abuse", work).await?;
    cases.print(|| report::json(&outcomes), || report::table(&outcomes));
    let broken: Vec<&str> =
        outcomes.iter().filter(|outcome| !outcome.ok).map(|outcome| outcome.case).collect();
    if !broken.is_empty() {
        bail!("not as promised: {}", broken.join(", "));
    }
    Ok(())
}

async fn run_each(
    database_url: &str,
    quick: bool,
    groups: &[Group],
    strains: &[Strain],
) -> Vec<Outcome> {
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
        outcomes
            .extend(ended.unwrap_or_else(|error| vec![not_brought_about(group.name(), &error)]));
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
