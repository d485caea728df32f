//! Builds the services in release mode. Also builds this command, for the measurements that depend
//! on its own speed.

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

/// Builds the given services.
pub(crate) async fn build(services: &[Kind]) -> anyhow::Result<()> {
    build_programs(services.iter().map(|kind| kind.program())).await
}

/// Builds the given services and xtask itself. A debug build of xtask then replaces itself with the
/// release build, which starts over with the same arguments; in that case this never returns `Ok`.
pub(crate) async fn build_and_become(services: &[Kind]) -> anyhow::Result<()> {
    build_programs(services.iter().map(|kind| kind.program()).chain(["xtask"])).await?;
    if !cfg!(debug_assertions) {
        return Ok(());
    }
    let program = folder().join("xtask");
    let error = std::process::Command::new(&program).args(std::env::args_os().skip(1)).exec();
    Err(error).with_context(|| format!("cannot run {}", program.display()))
}

/// Returns cargo's target directory.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Returns the directory of the release binaries.
pub(crate) fn folder() -> PathBuf {
    target().join("release")
}

/// Runs `cargo build`, which shows its progress on standard error.
async fn build_programs(programs: impl Iterator<Item = &'static str>) -> anyhow::Result<()> {
    let mut cargo = command("cargo");
    cargo.args(["build", "--release", "--locked"]);
    cargo.args(programs.flat_map(|program| ["--bin", program]));
    programs::run(&mut cargo).await
}
