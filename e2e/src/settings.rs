//! Files that list every setting, generated from the definitions of the two programs.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::CommandFactory as _;
use ingest_service::cli::Cli as IngestCli;
use query_service::cli::Cli as QueryCli;
use shared::config::{Variable, telemetry_variables, variables};

/// Settings that compose.yaml itself takes from the environment.
const COMPOSE: &str = include_str!("settings/compose.env");

/// Returns the text of `.env.sample`: each variable with its purpose and default.
#[must_use]
pub fn env_sample() -> String {
    let ingest = ingest();
    let query = query();
    let both: Vec<_> = ingest.iter().filter(|variable| query.contains(variable)).cloned().collect();
    let only = |all: Vec<Variable>| {
        all.into_iter().filter(|variable| !both.contains(variable)).collect::<Vec<_>>()
    };
    let mut sample = COMPOSE.to_owned();
    for (title, variables) in [
        ("Both services", both.clone()),
        ("ingest-service", only(ingest.clone())),
        ("query-service", only(query.clone())),
    ] {
        section(&mut sample, title, variables.iter().filter(|variable| !is_fixed(&variable.name)));
    }
    sample.push_str(
        "\n# --- Set by compose.yaml and the images. \
         Use these only for programs started by hand.\n",
    );
    let fixed = ingest.into_iter().chain(only(query)).filter(|variable| is_fixed(&variable.name));
    fixed.for_each(|variable| describe(&mut sample, &variable, "#    "));
    sample
}

/// Returns the content of `.ci/variables.json`: the names of the variables that each program reads.
#[must_use]
pub fn variable_names() -> serde_json::Value {
    let names = |variables: Vec<Variable>| {
        variables.into_iter().map(|variable| variable.name).collect::<Vec<_>>()
    };
    serde_json::json!({ "ingest-service": names(ingest()), "query-service": names(query()) })
}

/// Returns the root of the checkout.
#[must_use]
pub fn root() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn ingest() -> Vec<Variable> {
    [variables(&IngestCli::command()), telemetry_variables()].concat()
}

fn query() -> Vec<Variable> {
    [variables(&QueryCli::command()), telemetry_variables()].concat()
}

fn section<'v>(sample: &mut String, title: &str, variables: impl Iterator<Item = &'v Variable>) {
    let mut heading = "";
    for variable in variables {
        if variable.heading != heading {
            heading = &variable.heading;
            let _ = writeln!(sample, "\n# --- {title}: {}.", heading);
        }
        describe(sample, variable, "#");
    }
}

fn describe(sample: &mut String, variable: &Variable, mark: &str) {
    let Variable { name, default, help, values, .. } = variable;
    let one_of = if values.is_empty() { String::new() } else { format!(": {}", values.join(", ")) };
    let _ = writeln!(sample, "# {help}{one_of}.\n{mark}{name}={default}");
}

/// Returns whether compose.yaml or the images set the variable, so that a line in `.env` has no
/// effect.
fn is_fixed(name: &str) -> bool {
    let listen = [
        "TIDEGAUGE_INGEST_LISTEN",
        "TIDEGAUGE_QUERY_LISTEN",
        "TIDEGAUGE_HTTP_LISTEN",
        "TIDEGAUGE_INSECURE_LISTEN",
    ];
    name.starts_with("DATABASE_")
        || ["TIDEGAUGE_MIGRATE", "OTEL_SERVICE_NAME"].contains(&name)
        || listen.contains(&name)
}
