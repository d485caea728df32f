//! The project's own commands, run as `cargo xtask COMMAND`. [`Command`] lists them.

#![allow(clippy::print_stdout, clippy::print_stderr)] // A command-line tool prints its results.

mod abuse;
mod bench;
mod cases;
mod ci;
mod database;
mod demo;
mod faults;
mod fuzz;
mod own_database;
mod programs;
mod release;
mod service;
mod test;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Tidegauge's own commands
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Attack a running service, and measure the effect on the service and on another client
    Abuse(abuse::Options),
    /// Measure ingest and query speed, next to the database's own limit and other stores
    Bench(bench::Options),
    /// Run everything that CI runs; installs missing packages, so prefer a container
    Ci,
    /// Stream simulated devices through both services into TimescaleDB, and query the points
    Demo(demo::Options),
    /// Inject faults under load, and compare acknowledged points with stored points
    Faults(faults::Options),
    /// Feed malformed requests to the decoders and validators, and check that they hold
    Fuzz(fuzz::Options),
    /// Run all tests, on an embedded TimescaleDB unless DATABASE_URL names another one
    Test(test::Options),
}

#[tokio::main]
async fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Abuse(options) => abuse::run(options).await,
        Command::Bench(options) => bench::run(options).await,
        Command::Ci => ci::run().await,
        Command::Demo(options) => demo::run(options).await,
        Command::Faults(options) => faults::run(options).await,
        Command::Fuzz(options) => fuzz::run(options).await,
        Command::Test(options) => test::run(options).await,
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
