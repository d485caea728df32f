//! The way that Tidegauge began: `bench/seed.py`, in a Python environment made for it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::Value;

use super::render;
use super::shape::Shape;
use crate::programs::{self, command, root};
use crate::release;

/// Makes the environment, unless it is there as the requirements have it; says where its Python is.
pub(super) async fn install() -> anyhow::Result<PathBuf> {
    let (folder, wanted) =
        (release::target().join("bench-python"), root().join("bench/requirements.txt"));
    let (python, installed) = (folder.join("bin/python"), folder.join("requirements.txt"));
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

/// Writes all points of a shape, and says how long it took until the last COMMIT returned.
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
    let seconds = answer["seconds"].as_f64().context("bench/seed.py said no seconds")?;
    Ok(Duration::from_secs_f64(seconds))
}
