//! Release builds: of the services wherever a command runs them, and of the command itself where it measures.

use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;

use anyhow::Context as _;

use crate::programs::{self, command, root};

/// One of the two services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Ingest,
    Query,
}

impl Kind {
    /// Returns the name of the service's binary.
    pub(crate) fn program(self) -> &'static str {
        match self {
            Self::Ingest => "ingest-service",
            Self::Query => "query-service",
        }
    }
}

/// Builds these services.
pub(crate) async fn build(services: &[Kind]) -> anyhow::Result<()> {
    build_programs(services.iter().map(|kind| kind.program())).await
}

/// Builds these services and this command. From a debug build this process then becomes the release build.
pub(crate) async fn build_and_become(services: &[Kind]) -> anyhow::Result<()> {
    build_programs(services.iter().map(|kind| kind.program()).chain(["xtask"])).await?;
    if !cfg!(debug_assertions) {
        return Ok(());
    }
    let program = folder().join("xtask");
    let error = std::process::Command::new(&program).args(std::env::args_os().skip(1)).exec();
    Err(error).with_context(|| format!("cannot run {}", program.display()))
}

/// What cargo builds goes here.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Where the programs are.
pub(crate) fn folder() -> PathBuf {
    target().join("release")
}

async fn build_programs(programs: impl Iterator<Item = &'static str>) -> anyhow::Result<()> {
    let mut cargo = command("cargo");
    cargo.args(["build", "--quiet", "--release", "--locked"]);
    cargo.args(programs.flat_map(|program| ["--bin", program]));
    programs::run(&mut cargo).await
}
