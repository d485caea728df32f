//! What the commands that try case after case have in common: which of them, on a database of their own, and how they are told.

use anyhow::bail;
use clap::Args;
use serde_json::Value;

use crate::own_database::{OwnDatabase, Policies};

/// Which cases, on what, and how they are told.
#[derive(Args)]
pub(crate) struct Cases {
    /// Only the cases whose name, or that of their group, contains one of these
    #[arg(value_name = "CASE")]
    only: Vec<String>,
    /// TimescaleDB Community to use, where a database is created and dropped again; without it an embedded one is started
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    database_url: Option<String>,
    /// Print a JSON array with one entry per case instead of a table
    #[arg(long)]
    json: bool,
}

impl Cases {
    pub(crate) fn wanted<T: Copy, const N: usize>(
        &self,
        all: [T; N],
        name: fn(T) -> &'static str,
    ) -> Vec<T> {
        let wants = |case: &T| {
            self.only.is_empty() || self.only.iter().any(|part| name(*case).contains(part.as_str()))
        };
        all.into_iter().filter(wants).collect()
    }

    /// Where none is wanted.
    pub(crate) fn none_of<T>(&self, names: &[&str]) -> anyhow::Result<T> {
        bail!("no case is called {}; there are: {}", self.only.join(" or "), names.join(", "))
    }

    /// Works on a database of its own, named after the command; Ctrl-C ends it, and the database is gone in any case.
    pub(crate) async fn on_own_database<T>(
        &self,
        command: &str,
        work: impl AsyncFnOnce(&OwnDatabase) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let database =
            OwnDatabase::open(self.database_url.as_deref(), command, Policies::Run).await?;
        eprintln!("{command} on {}", database.describe());
        let outcome = tokio::select! {
            outcome = work(&database) => outcome,
            _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("ended before all cases were through")),
        };
        database.close().await;
        outcome
    }

    pub(crate) fn print(&self, json: impl FnOnce() -> Value, table: impl FnOnce() -> String) {
        match self.json {
            true => println!("{}", json()),
            false => println!("{}", table()),
        }
    }
}
