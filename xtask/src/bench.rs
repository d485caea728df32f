//! `cargo xtask bench`: measures the speed of ingest and queries. It compares Tidegauge with the
//! database alone and with other stores.

mod ingest;
mod query;

mod copy_rows;
mod table;
mod values;

mod http;
mod machine;
mod numbers;
mod process;
mod rival;

use clap::{Args, ValueEnum};
use serde_json::Value;
use shared::shutdown;
use tokio_util::sync::CancellationToken;

use crate::own_database::{OwnDatabase, Policies};
use crate::release::{self, Kind};

/// Options that select the measurements and the server.
#[derive(Args)]
pub(crate) struct Options {
    /// TimescaleDB server to create temporary databases on [default: an embedded one]
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    database_url: Option<String>,
    /// Measure fewer points and repetitions, so that each part takes a few minutes
    #[arg(long)]
    quick: bool,
    /// Measure only this part
    #[arg(long, value_enum)]
    only: Option<Part>,
    /// Print one JSON object instead of tables
    #[arg(long)]
    json: bool,
}

/// A part of the benchmark.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Speed of ingest
    Ingest,
    /// Speed of queries
    Query,
    /// Highest ingest rate that lasts while the policies run; measured only on request
    Sustained,
}

/// The result of a part: a JSON object for programs, text for people.
struct PartResult {
    json: Value,
    text: String,
}

/// Runs the benchmark. Ctrl-C stops it and everything that it started.
pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    step("building the services and xtask in release mode");
    release::build_and_become(&[Kind::Ingest, Kind::Query]).await?;
    let setting = BenchSettings {
        server: options.database_url,
        quick: options.quick,
        stop: shutdown::on_signal()?,
    };
    let mut outcomes = Vec::new();
    if matches!(options.only, None | Some(Part::Ingest)) {
        outcomes.push(ingest::run(&setting).await?);
    }
    if matches!(options.only, None | Some(Part::Query)) {
        outcomes.push(query::run(&setting).await?);
    }
    if options.only == Some(Part::Sustained) {
        outcomes.push(ingest::sustained::run(&setting).await?);
    }
    if options.json {
        println!("{}", merged(outcomes));
    } else {
        outcomes.iter().for_each(|outcome| println!("{}", outcome.text));
    }
    Ok(())
}

/// Returns one JSON object with the keys of all results.
fn merged(outcomes: Vec<PartResult>) -> Value {
    let objects = outcomes.into_iter().filter_map(|outcome| match outcome.json {
        Value::Object(object) => Some(object),
        _ => None,
    });
    Value::Object(objects.flatten().collect())
}

/// The settings of all parts.
struct BenchSettings {
    /// URL of the server to create databases on. `None` starts an embedded one for each.
    server: Option<String>,
    quick: bool,
    stop: CancellationToken,
}

impl BenchSettings {
    /// Runs `work` on a new database with paused policies. Drops the database afterwards.
    async fn on_database<T>(
        &self,
        work: impl AsyncFnOnce(&OwnDatabase) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        step("starting TimescaleDB");
        let database = OwnDatabase::open(self.server.as_deref(), "bench", Policies::Paused).await?;
        step(&format!("{} is ready", database.describe()));
        let outcome = tokio::select! {
            outcome = work(&database) => outcome,
            () = self.stop.cancelled() => {
                Err(anyhow::anyhow!("interrupted before everything was measured"))
            }
        };
        database.close().await;
        outcome
    }
}

/// Prints the step that begins to standard error.
fn step(what: &str) {
    eprintln!("· {what}");
}
