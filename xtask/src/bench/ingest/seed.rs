//! The first version of Tidegauge's ingest: `bench/seed.py`, in a Python environment of its own.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::Value;

use super::render;
use super::shape::Shape;
use crate::programs::{self, command, root};
use crate::release;

/// Creates the Python environment unless it already matches the requirements. Returns the path of
/// its interpreter.
pub(super) async fn install() -> anyhow::Result<PathBuf> {
    let folder = release::target().join("bench-python");
    let wanted = root().join("bench/requirements.txt");
    let python = folder.join("bin/python");
    let installed = folder.join("requirements.txt");
    if std::fs::read(&installed).ok() == std::fs::read(&wanted).ok() {
        return Ok(python);
    }
    programs::run(command("python3").args(["-m", "venv", "--clear"]).arg(&folder)).await?;
    let mut pip = command(&folder.join("bin/pip").to_string_lossy());
    pip.args(["install", "--quiet", "--disable-pip-version-check", "--requirement"]).arg(&wanted);
    programs::run(&mut pip).await?;
    std::fs::copy(wanted, installed)?;
    Ok(python)
}

/// Writes all points of a shape. Returns the time until the last COMMIT returned.
pub(super) async fn write(
    python: &Path,
    database_url: &str,
    shape: &Shape,
    scratch: &Path,
) -> anyhow::Result<Duration> {
    let points = scratch.join("points.tsv");
    std::fs::write(&points, render::tab_separated(shape))?;
    let mut program = command(&python.to_string_lossy());
    program.arg("bench/seed.py").args(["--database-url", database_url, "--points"]).arg(&points);
    let output = program
        .stderr(std::process::Stdio::inherit())
        .output()
        .await
        .context("cannot run bench/seed.py")?;
    if !output.status.success() {
        bail!("bench/seed.py failed: {}", output.status);
    }
    let answer: Value = serde_json::from_slice(&output.stdout)?;
    let seconds = answer["seconds"]
        .as_f64()
        .context("the output of bench/seed.py has no number `seconds`")?;
    Ok(Duration::from_secs_f64(seconds))
}
