//! The project's own commands: `cargo xtask abuse`, `cargo xtask bench`, `cargo xtask demo`, `cargo xtask faults`,
//! `cargo xtask fuzz`, `cargo xtask test`.

#![allow(clippy::print_stdout, clippy::print_stderr)] // a command line talks to people

mod abuse;
mod bench;
mod cases;
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

/// Tidegauge's own commands.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Abuse a service in every way that its port allows, and see what that does to it and to another client
    Abuse(abuse::Options),
    /// Measure how fast points are taken in, beside the database's own limit and other ways of storing them
    Bench(bench::Options),
    /// Stream simulated devices through real services into a real TimescaleDB, and ask for the points again
    Demo(demo::Options),
    /// Let faults strike under load, and compare what was acknowledged with what is stored
    Faults(faults::Options),
    /// Feed messages and questions that nobody would send to what reads them, and see that its promises hold
    Fuzz(fuzz::Options),
    /// Run all tests, on an embedded TimescaleDB unless DATABASE_URL names another
    Test(test::Options),
}

#[tokio::main]
async fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Abuse(options) => abuse::run(options).await,
        Command::Bench(options) => bench::run(options).await,
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
