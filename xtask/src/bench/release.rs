//! Measuring happens in release builds, the bench's own code included.

use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;

use anyhow::Context as _;

use crate::programs::{self, command, root};

/// Builds what is measured and what measures. From a debug build this process then becomes the release build.
pub(super) async fn build() -> anyhow::Result<()> {
    let mut cargo = command("cargo");
    cargo.args(["build", "--quiet", "--release", "--locked", "--bin", "ingest-service", "--bin", "xtask"]);
    programs::run(&mut cargo).await?;
    if !cfg!(debug_assertions) {
        return Ok(());
    }
    let program = folder().join("xtask");
    let error = std::process::Command::new(&program).args(std::env::args_os().skip(1)).exec();
    Err(error).with_context(|| format!("cannot run {}", program.display()))
}

/// What cargo builds goes here.
pub(super) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Where the programs are.
pub(super) fn folder() -> PathBuf {
    target().join("release")
}
