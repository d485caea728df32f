//! `cargo xtask ci`: runs the checks that CI runs, in the same order.

use anyhow::{Context as _, bail};

use crate::programs::{command, root};

/// The script that CI runs too.
const SCRIPT: &str = ".ci/run";

/// Runs the script. Fails at its first check that fails.
pub(crate) async fn run() -> anyhow::Result<()> {
    let script = root().join(SCRIPT);
    let status = command(&script.to_string_lossy())
        .status()
        .await
        .with_context(|| format!("cannot run {SCRIPT}"))?;
    if !status.success() {
        bail!("{SCRIPT} failed ({status}); the last line starting with == names the check");
    }
    Ok(())
}
