//! `cargo xtask bench`: how fast points are taken in, beside the database's own limit and other ways of storing them.

mod calls;
mod copy;
mod http;
mod latency;
mod machine;
mod own_database;
mod plan;
mod process;
mod release;
mod render;
mod report;
mod rival;
mod rounds;
mod seed;
mod service;
mod shape;
mod statistics;
mod wire;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
use shared::{shutdown, time};

use machine::Machine;
use own_database::OwnDatabase;
use plan::Plan;
use report::Report;
use rounds::Bench;
use service::Service;

/// What to measure, and on what.
#[derive(Args)]
pub(crate) struct Options {
    /// Server to measure on: a database is created there and dropped at the end; without it an embedded one is started
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    database_url: Option<String>,
    /// One round of fewer points, in under two minutes
    #[arg(long)]
    quick: bool,
    /// Measure this part only
    #[arg(long, value_enum)]
    only: Option<Part>,
    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
}

/// A part of the bench.
#[derive(Clone, Copy, ValueEnum)]
enum Part {
    /// How fast points are taken in.
    Ingest,
}

/// Runs the bench; Ctrl-C ends it and everything that it started.
pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let Part::Ingest = options.only.unwrap_or(Part::Ingest);
    step("building the service and the bench in release");
    release::build().await?;
    let python = seed::install().await?;
    let scratch = tempfile::tempdir_in(release::target())?;
    let stop = shutdown::on_signal()?;
    step("starting TimescaleDB");
    let database = OwnDatabase::open(options.database_url.clone()).await?;
    step(&format!("{} is ready", database.describe()));
    let outcome = tokio::select! {
        outcome = measure(&options, &database, python, scratch.path()) => outcome,
        () = stop.cancelled() => Err(anyhow::anyhow!("ended before everything was measured")),
    };
    database.close().await;
    match options.json {
        true => println!("{}", outcome?.json()),
        false => println!("{}", outcome?),
    }
    Ok(())
}

async fn measure(options: &Options, database: &OwnDatabase, python: PathBuf, scratch: &Path) -> anyhow::Result<Report> {
    let plan = Plan::new(options.quick, database.is_embedded(), time::now_micros());
    let (pause, length) = if options.quick { (50, 8) } else { (100, 30) };
    let bench = Bench {
        plan,
        database,
        service: Service::start(database.url(), scratch).await?,
        series_ids: database.create_series(plan.many_devices).await?,
        python,
        scratch,
        light: (Duration::from_millis(pause), Duration::from_secs(length)),
    };
    let figures = bench.measure().await?;
    bench.service.stop().await;
    let edition = database.edition().clone();
    Ok(Report { plan, edition, embedded: database.is_embedded(), machine: Machine::this(), figures })
}

fn step(what: &str) {
    eprintln!("· {what}");
}
