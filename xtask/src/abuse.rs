//! `cargo xtask abuse`: runs every case of `e2e::abuse` and `e2e::strain`, and reports the results.

mod report;

use std::time::Instant;

use anyhow::bail;
use clap::Args;
use e2e::abuse::{self, Group, Outcome};
use e2e::strain::{self, Strain};

use crate::cases::Cases;
use crate::own_database::OwnDatabase;
use crate::release::{self, Kind};

/// Options that select the cases and their size.
#[derive(Args)]
pub(crate) struct Options {
    #[command(flatten)]
    cases: Cases,
    /// Run smaller cases, for example an overload of 10 seconds instead of two minutes
    #[arg(long)]
    quick: bool,
}

/// Runs the selected cases. Fails if the result of a case is not as expected.
pub(crate) async fn run(Options { cases, quick }: Options) -> anyhow::Result<()> {
    let groups = cases.selected(Group::ALL, Group::name);
    let strains = cases.selected(Strain::ALL, Strain::name);
    if groups.is_empty() && strains.is_empty() {
        let names: Vec<&str> =
            Group::ALL.map(Group::name).into_iter().chain(Strain::ALL.map(Strain::name)).collect();
        return cases.none_selected(&names);
    }
    release::build_and_become(&[Kind::Ingest, Kind::Query]).await?;
    let work =
        async |database: &OwnDatabase| Ok(run_each(database.url(), quick, &groups, &strains).await);
    let outcomes = cases.on_own_database("abuse", work).await?;
    cases.print(|| report::json(&outcomes), || report::table(&outcomes));
    let failed: Vec<&str> =
        outcomes.iter().filter(|outcome| !outcome.ok).map(|outcome| outcome.case).collect();
    if !failed.is_empty() {
        bail!("cases that were not as expected: {}", failed.join(", "));
    }
    Ok(())
}

async fn run_each(
    database_url: &str,
    quick: bool,
    groups: &[Group],
    strains: &[Strain],
) -> Vec<Outcome> {
    let ingest_service = release::folder().join(Kind::Ingest.program());
    let query_service = release::folder().join(Kind::Query.program());
    let database_url = database_url.to_owned();
    let strain_setting = strain::Setting {
        database_url: database_url.clone(),
        ingest_service: ingest_service.clone(),
        quick,
        judge_latency: true,
    };
    let abuse_setting = abuse::Setting { database_url, ingest_service, query_service };
    let mut outcomes = Vec::new();
    for &group in groups {
        let began = Instant::now();
        let result = abuse_setting.run(group).await;
        outcomes.extend(result.unwrap_or_else(|error| vec![incomplete(group.name(), &error)]));
        print_progress(group.name(), began);
    }
    for &strain in strains {
        let began = Instant::now();
        let result = strain_setting.run(strain).await;
        outcomes.push(result.unwrap_or_else(|error| incomplete(strain.name(), &error)));
        print_progress(strain.name(), began);
    }
    outcomes
}

/// Returns the outcome of a case that could not be completed. It counts as failed, and the
/// remaining cases still run.
fn incomplete(case: &'static str, error: &anyhow::Error) -> Outcome {
    Outcome { case, expected: "runs to its end".to_owned(), seen: format!("{error:#}"), ok: false }
}

fn print_progress(name: &str, began: Instant) {
    eprintln!("· {name} ({:.1} s)", began.elapsed().as_secs_f64());
}
