//! What the commands `abuse` and `faults` share: selecting cases, a scratch database, and output
//! as a table or as JSON.

use anyhow::bail;
use clap::Args;
use serde_json::Value;

use crate::own_database::{OwnDatabase, Policies};

/// Options that select the cases, the database and the output format.
#[derive(Args)]
pub(crate) struct Cases {
    /// Run only the cases whose name, or whose group's name, contains one of these texts
    #[arg(value_name = "CASE")]
    only: Vec<String>,
    /// TimescaleDB Community server to create a temporary database on [default: an embedded one]
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    database_url: Option<String>,
    /// Print a JSON array with one entry per case instead of a table
    #[arg(long)]
    json: bool,
}

impl Cases {
    /// Returns the cases that the command line selects: all of them if it names none.
    pub(crate) fn selected<T: Copy, const N: usize>(
        &self,
        all: [T; N],
        name: fn(T) -> &'static str,
    ) -> Vec<T> {
        let is_selected = |case: &T| {
            self.only.is_empty() || self.only.iter().any(|part| name(*case).contains(part.as_str()))
        };
        all.into_iter().filter(is_selected).collect()
    }

    /// Returns the error for a command line that selects no case. `names` are the valid ones.
    pub(crate) fn none_selected<T>(&self, names: &[&str]) -> anyhow::Result<T> {
        let found = self.only.join(" or ");
        bail!("no case name contains {found}; valid names: {}", names.join(", "))
    }

    /// Runs `work` on a new database, which is named after the command and dropped afterwards.
    /// Ctrl-C stops the work and still drops the database.
    pub(crate) async fn on_own_database<T>(
        &self,
        command: &str,
        work: impl AsyncFnOnce(&OwnDatabase) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let database =
            OwnDatabase::open(self.database_url.as_deref(), command, Policies::Run).await?;
        eprintln!("running {command} on {}", database.describe());
        let outcome = tokio::select! {
            outcome = work(&database) => outcome,
            _ = tokio::signal::ctrl_c() => {
                Err(anyhow::anyhow!("interrupted before all cases had run"))
            }
        };
        database.close().await;
        outcome
    }

    /// Prints the result on standard output, as JSON if the command line asks for it.
    pub(crate) fn print(&self, json: impl FnOnce() -> Value, table: impl FnOnce() -> String) {
        match self.json {
            true => println!("{}", json()),
            false => println!("{}", table()),
        }
    }
}
