//! `cargo xtask test`: installs what the tests need, gives them a database, runs them.

use anyhow::bail;
use clap::Args;

use crate::database::Database;
use crate::programs::{self, command, npm_ci, root};

/// Which tests to run.
#[derive(Args)]
pub(crate) struct Options {
    /// TimescaleDB to test on; without it an embedded one is started
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    database_url: Option<String>,
    /// Passed on to the test runner, for example a part of a test's name
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    runner: Vec<String>,
}

/// A job holds the embedded database's one backend; the tests refresh what they need themselves.
const NO_JOBS: [&str; 2] = ["--job-interval", "86400"];

/// Runs the embedded database's own tests, then all tests of the workspace; the runner's summary comes last.
pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    if options.runner.is_empty() {
        npm_ci("embedded-timescaledb").await?;
        programs::run(
            command("npm")
                .args(["test", "--silent"])
                .current_dir(root().join("embedded-timescaledb")),
        )
        .await?;
    }
    install_clients().await?;
    let database = Database::open_with(options.database_url, &NO_JOBS).await?;
    eprintln!("testing on {}", database.describe());
    let mut runner = command("cargo");
    runner.args(if has_nextest().await { &["nextest", "run"][..] } else { &["test"] });
    runner
        .args(["--workspace", "--no-fail-fast"])
        .args(options.runner)
        .env("DATABASE_URL", &database.url);
    let status = runner.status().await?;
    database.close().await;
    if !status.success() {
        bail!("tests failed");
    }
    Ok(())
}

/// The clients in other languages that the end-to-end tests start.
async fn install_clients() -> anyhow::Result<()> {
    npm_ci("e2e/clients").await?;
    let python = root().join("target/e2e-python");
    let (installed, wanted) =
        (python.join("requirements.txt"), root().join("e2e/clients/requirements.txt"));
    if std::fs::read(&installed).ok() == std::fs::read(&wanted).ok() {
        return Ok(());
    }
    programs::run(command("python3").args(["-m", "venv", "--clear"]).arg(&python)).await?;
    let mut pip = command(&python.join("bin/pip").to_string_lossy());
    programs::run(
        pip.args(["install", "--quiet", "--disable-pip-version-check", "--requirement"])
            .arg(&wanted),
    )
    .await?;
    std::fs::copy(wanted, installed)?;
    Ok(())
}

async fn has_nextest() -> bool {
    command("cargo")
        .args(["nextest", "--version"])
        .output()
        .await
        .is_ok_and(|output| output.status.success())
}
