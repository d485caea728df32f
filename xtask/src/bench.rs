//! `cargo xtask bench`: how fast points are taken in and questions answered, beside the database itself and other ways of
//! storing and asking.

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

/// What to measure, and on what.
#[derive(Args)]
pub(crate) struct Options {
    /// Server to measure on: databases are created there and dropped at the end; without it an embedded one is started
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    database_url: Option<String>,
    /// Fewer points and fewer repetitions: each part in a few minutes
    #[arg(long)]
    quick: bool,
    /// Measure this part only
    #[arg(long, value_enum)]
    only: Option<Part>,
    /// Print one JSON object instead of tables
    #[arg(long)]
    json: bool,
}

/// A part of the bench.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// How fast points are taken in.
    Ingest,
    /// How fast questions are answered.
    Query,
    /// Which rate of ingest lasts, with the policies running; only if asked for.
    Sustained,
}

/// What a part gave: an object for programs, text for people.
struct Outcome {
    json: Value,
    text: String,
}

/// Runs the bench; Ctrl-C ends it and everything that it started.
pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    step("building the services and the bench in release");
    release::build_and_become(&[Kind::Ingest, Kind::Query]).await?;
    let setting = Setting {
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

/// One object with the keys of all.
fn merged(outcomes: Vec<Outcome>) -> Value {
    let objects = outcomes.into_iter().filter_map(|outcome| match outcome.json {
        Value::Object(object) => Some(object),
        _ => None,
    });
    Value::Object(objects.flatten().collect())
}

/// What both parts are told.
struct Setting {
    /// Where databases can be created; without it each is an embedded one.
    server: Option<String>,
    quick: bool,
    stop: CancellationToken,
}

impl Setting {
    /// Does work on a database of its own, which is dropped whatever comes of it.
    async fn on_database<T>(
        &self,
        work: impl AsyncFnOnce(&OwnDatabase) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        step("starting TimescaleDB");
        let database = OwnDatabase::open(self.server.as_deref(), "bench", Policies::Paused).await?;
        step(&format!("{} is ready", database.describe()));
        let outcome = tokio::select! {
            outcome = work(&database) => outcome,
            () = self.stop.cancelled() => Err(anyhow::anyhow!("ended before everything was measured")),
        };
        database.close().await;
        outcome
    }
}

fn step(what: &str) {
    eprintln!("· {what}");
}
