//! `cargo xtask test`: installs what the tests need, starts a database and runs all tests.
//! With `--fast` it runs the unit tests only, without a database.

use anyhow::bail;
use clap::Args;
use tokio::process::Command;

use crate::database::Database;
use crate::programs::{self, command, npm_ci, root};

/// Options that select the tests and the database.
#[derive(Args)]
pub(crate) struct Options {
    /// Run only the unit tests of all crates: they need no database and install nothing
    #[arg(long)]
    fast: bool,
    /// TimescaleDB to test on [default: an embedded one]; --fast ignores it
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    database_url: Option<String>,
    /// Arguments for the test runner, for example a part of a test's name
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    runner: Vec<String>,
}

/// Options that keep the background jobs of the embedded database from running for a day.
/// It has a single backend, which a running job would block. The tests refresh what they need.
const NO_JOBS: [&str; 2] = ["--job-interval", "86400"];

/// Runs the tests that the options select. The test runner's summary comes last.
pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    if options.fast {
        return run_unit_tests(options.runner).await;
    }
    if options.runner.is_empty() {
        let mut npm = command("npm");
        npm.args(["test", "--silent"]).current_dir(root().join("embedded-timescaledb"));
        npm_ci("embedded-timescaledb").await?;
        programs::run(&mut npm).await?;
    }
    install_clients().await?;
    let database = Database::open_with(options.database_url, &NO_JOBS).await?;
    eprintln!("testing on {}", database.describe());
    let mut runner = test_runner().await;
    runner.args(options.runner).env("DATABASE_URL", &database.url);
    let outcome = run_tests(&mut runner).await;
    database.close().await;
    outcome
}

/// Runs the tests inside the libraries and binaries. DATABASE_URL is removed, so that a test that
/// needs a database fails here.
async fn run_unit_tests(arguments: Vec<String>) -> anyhow::Result<()> {
    let mut runner = test_runner().await;
    runner.args(["--lib", "--bins"]).args(arguments).env_remove("DATABASE_URL");
    run_tests(&mut runner).await
}

async fn run_tests(runner: &mut Command) -> anyhow::Result<()> {
    if !runner.status().await?.success() {
        bail!("tests failed");
    }
    Ok(())
}

/// Returns a command that runs the workspace's tests: with nextest if it is installed.
async fn test_runner() -> Command {
    let mut runner = command("cargo");
    runner.args(if has_nextest().await { &["nextest", "run"][..] } else { &["test"] });
    runner.args(["--workspace", "--no-fail-fast"]);
    runner
}

/// Installs the clients in other languages that the end-to-end tests start.
async fn install_clients() -> anyhow::Result<()> {
    npm_ci("e2e/clients").await?;
    let python = root().join("target/e2e-python");
    let installed = python.join("requirements.txt");
    let required = root().join("e2e/clients/requirements.txt");
    if std::fs::read(&installed).ok() == std::fs::read(&required).ok() {
        return Ok(());
    }
    programs::run(command("python3").args(["-m", "venv", "--clear"]).arg(&python)).await?;
    let mut pip = command(&python.join("bin/pip").to_string_lossy());
    programs::run(
        pip.args(["install", "--quiet", "--disable-pip-version-check", "--requirement"])
            .arg(&required),
    )
    .await?;
    std::fs::copy(required, installed)?;
    Ok(())
}

async fn has_nextest() -> bool {
    command("cargo")
        .args(["nextest", "--version"])
        .output()
        .await
        .is_ok_and(|output| output.status.success())
}
