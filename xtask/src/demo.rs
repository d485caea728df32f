//! `cargo xtask demo`: shows the whole path of a point, from simulated devices to query results.

mod chart;
mod queries;
mod report;
mod send;
mod services;
mod simulate;
mod sql;
mod weather;

use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;

use crate::database::Database;
use crate::release::{self, Kind};
use queries::QueryResults;
use report::Report;
use services::Services;
use simulate::Fleet;

/// Options that select the load, the database and the output.
#[derive(Args)]
pub(crate) struct Options {
    /// Number of simulated points to send; the weather readings come on top
    #[arg(long, default_value_t = 1_000_000)]
    points: usize,
    /// Number of simulated devices
    #[arg(long, default_value_t = 1_000)]
    devices: usize,
    /// TimescaleDB Community database to use [default: an embedded one]
    #[arg(long, value_name = "URL")]
    database_url: Option<String>,
    /// Keep everything running until Ctrl-C, and print commands to try
    #[arg(long)]
    keep: bool,
    /// Print one JSON object instead of a report
    #[arg(long)]
    json: bool,
}

/// Runs the demo. Ctrl-C stops it and everything that it started.
pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    tokio::select! {
        outcome = run_demo(&options) => outcome,
        _ = tokio::signal::ctrl_c() => {
            eprintln!("interrupted");
            Ok(())
        }
    }
}

async fn run_demo(options: &Options) -> anyhow::Result<()> {
    step("building the services in release mode (takes minutes the first time)");
    release::build(&[Kind::Ingest, Kind::Query]).await?;
    step("starting TimescaleDB");
    let database = Database::open(options.database_url.clone()).await?;
    step(&format!("{} is ready; starting the services", database.describe()));
    let services = Services::start(&database).await?;
    let outcome = run_steps(options, &database, &services).await;
    if let Ok(report) = &outcome {
        match options.json {
            true => println!("{}", report.json()),
            false => println!("{report}"),
        }
        if options.keep {
            report::print_addresses(&database.url, &services);
            tokio::signal::ctrl_c().await?;
        }
    }
    services.stop().await;
    database.close().await;
    outcome.map(|_| ())
}

/// Sends points, refreshes the rollups, runs queries and compresses a chunk.
async fn run_steps(
    options: &Options,
    database: &Database,
    services: &Services,
) -> anyhow::Result<Report> {
    let now = chrono::Utc::now().timestamp_micros();
    let fleet = Fleet::new(options.points, options.devices, now)?;
    let weather = weather::read(now).context("cannot read examples/weather.csv")?;
    let mut sql = sql::DatabaseConnection::connect(&database.url).await?;
    let stored_before = sql.count_points(&fleet, &weather).await?;

    step(&format!("sending {} points of {} devices over gRPC", fleet.points(), fleet.devices()));
    let began = Instant::now();
    let accepted_fleet = send::fleet(&services.ingest, &fleet).await?;
    let elapsed = began.elapsed();
    step(&format!(
        "sending {} readings of real weather stations (examples/weather.csv)",
        weather.points.len()
    ));
    let accepted_weather = send::weather(&services.ingest, &weather).await?;
    let points_stored = sql.count_points(&fleet, &weather).await? - stored_before;

    step("refreshing the rollups now; usually their policies do it every minute, hour and day");
    sql.refresh_rollups(weather.first().min(fleet.start), fleet.end).await?;
    step("querying raw points, averages and anomalies");
    let results = QueryResults::fetch(&services.query, &fleet, &weather).await?;
    let (minute_buckets, hour_buckets) = sql.count_buckets(&fleet, &weather).await?;
    step("compressing a chunk now; usually the columnstore policy does it after seven days");
    let compression = sql.compress_chunk(&fleet).await?;

    Ok(Report {
        database: database.describe(),
        points_sent: (fleet.points() + weather.points.len()) as u64,
        points_accepted: accepted_fleet + accepted_weather,
        points_stored,
        points_per_second: rate(accepted_fleet, elapsed),
        minute_buckets,
        hour_buckets,
        anomalies_injected: fleet.faults.len(),
        results,
        compression,
    })
}

/// Returns points per second.
fn rate(points: u64, elapsed: Duration) -> f64 {
    points as f64 / elapsed.as_secs_f64()
}

/// Prints the step that begins on standard error.
fn step(what: &str) {
    eprintln!("· {what}");
}
