//! `cargo xtask fuzz`: runs each fuzz target for a fixed time, and reports the crashes.
//!
//! libFuzzer selects inputs by the code that they reach, which the compiler must instrument. Stable
//! Rust can do that with [`COVERAGE`]. The options apply to every crate of a target, so these
//! builds have their own target directory.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use crate::programs::{self, command};
use crate::release;

/// Compiler options that count how often each control-flow edge is taken and record the operands of
/// comparisons. libFuzzer reads both.
const COVERAGE: [&str; 5] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
];
/// Limit on the length of an input, in bytes. It fits about twenty points or selectors.
const MAX_INPUT_BYTES: usize = 4_096;
/// Limit on the time for one input, in seconds. Exceeding it counts as a crash.
const INPUT_TIMEOUT_SECONDS: usize = 10;
/// Limit on the memory of a target, in MiB. Exceeding it counts as a crash.
const MEMORY_LIMIT_MIB: usize = 2_048;

/// Options that select the targets and their running time.
#[derive(Args)]
pub(crate) struct Options {
    /// Run only these targets
    #[arg(value_enum, value_name = "TARGET")]
    only: Vec<Target>,
    /// Running time of each target, in seconds
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Print a JSON array with one entry per target instead of a table
    #[arg(long)]
    json: bool,
}

/// A fuzz target: the code path that receives the inputs.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq)]
enum Target {
    /// Decode, validate, sort and encode a batch of points
    Ingest,
    /// Decode, validate and plan a query
    Query,
}

impl Target {
    fn name(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Query => "query",
        }
    }
}

/// The result of running one target.
struct TargetResult {
    target: Target,
    runs: u64,
    elapsed: Duration,
    /// The file with the input that crashed the target, if one did. A crash ends the run.
    crash: Option<PathBuf>,
}

/// Builds and runs the selected targets. Fails if one of them crashed.
pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let binaries = build().await?;
    let mut results = Vec::new();
    for target in [Target::Ingest, Target::Query] {
        if options.only.is_empty() || options.only.contains(&target) {
            eprintln!("· {} for {} s", target.name(), options.seconds);
            results.push(fuzz(target, &binaries, options.seconds).await?);
        }
    }
    match options.json {
        true => println!("{}", as_json(&results)),
        false => println!("{}", as_table(&results)),
    }
    if results.iter().any(|result| result.crash.is_some()) {
        bail!("a target crashed; to reproduce, run its binary with the input file as argument");
    }
    Ok(())
}

/// Returns the directory of the builds, the corpus and the crashing inputs.
fn folder() -> PathBuf {
    release::target().join("fuzz")
}

/// Builds the targets and returns the directory of their binaries. Passing the host as `--target`
/// keeps the options away from build scripts and procedural macros.
async fn build() -> anyhow::Result<PathBuf> {
    let version = command("rustc").arg("-vV").output().await.context("cannot run rustc")?;
    let version = String::from_utf8_lossy(&version.stdout).into_owned();
    let host = version
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .context("`rustc -vV` prints no line with `host: `")?;
    let mut cargo = command("cargo");
    cargo
        .args(["build", "--locked", "--profile", "fuzz", "--target", host, "--target-dir"])
        .arg(folder());
    cargo
        .args(["--package", "fuzz", "--features", "link", "--bins"])
        .env("RUSTFLAGS", COVERAGE.join(" "));
    programs::run(&mut cargo)
        .await
        .context("cannot build the fuzz targets; they need a C++ compiler")?;
    Ok(folder().join(host).join("fuzz"))
}

/// Runs one target until the time is over or an input crashes it.
async fn fuzz(target: Target, binaries: &Path, seconds: u64) -> anyhow::Result<TargetResult> {
    let name = target.name();
    let corpus = folder().join("corpus").join(name);
    let crashes = folder().join("crashes");
    std::fs::create_dir_all(&corpus)?;
    std::fs::create_dir_all(&crashes)?;
    let mut program = command(&binaries.join(format!("fuzz-{name}")).to_string_lossy());
    program.env("TIDEGAUGE_FUZZ_SEEDS", &corpus).arg(&corpus);
    program.arg(format!("-artifact_prefix={}/{name}-", crashes.display()));
    program.args([
        format!("-max_total_time={seconds}"),
        format!("-max_len={MAX_INPUT_BYTES}"),
        format!("-timeout={INPUT_TIMEOUT_SECONDS}"),
        format!("-rss_limit_mb={MEMORY_LIMIT_MIB}"),
        "-print_final_stats=1".to_owned(),
    ]);
    let began = Instant::now();
    let output =
        program.output().await.with_context(|| format!("cannot run the fuzz target {name}"))?;
    let log = String::from_utf8_lossy(&output.stderr);
    let crash = log
        .lines()
        .find_map(|line| Some(PathBuf::from(line.split_once("Test unit written to ")?.1)));
    if crash.is_some() || !output.status.success() {
        eprintln!("{log}");
    }
    if crash.is_none() && !output.status.success() {
        bail!("the fuzz target {name} failed: {}", output.status);
    }
    let runs = log
        .lines()
        .find_map(|line| line.strip_prefix("stat::number_of_executed_units:")?.trim().parse().ok());
    let runs = runs.with_context(|| format!("the fuzz target {name} prints no number of runs"))?;
    Ok(TargetResult { target, runs, elapsed: began.elapsed(), crash })
}

fn as_json(results: &[TargetResult]) -> Value {
    let entry = |TargetResult { target, runs, elapsed, crash }: &TargetResult| {
        let crashes = u32::from(crash.is_some());
        let seconds = elapsed.as_secs();
        json!({
            "case": target.name(),
            "expected": "0 crashes",
            "seen": format!("{crashes} crashes in {runs} runs, {seconds} s"),
            "ok": crash.is_none(),
            "input": crash,
        })
    };
    results.iter().map(entry).collect()
}

fn as_table(results: &[TargetResult]) -> String {
    let row = |TargetResult { target, runs, elapsed, crash }: &TargetResult| {
        let input = crash.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
        let crashes = u32::from(crash.is_some());
        let seconds = elapsed.as_secs();
        format!("{:8} {runs:>12} {crashes:>8} {seconds:>8}  {input}", target.name())
            .trim_end()
            .to_owned()
    };
    let heading = format!("{:8} {:>12} {:>8} {:>8}", "target", "runs", "crashes", "seconds");
    std::iter::once(heading).chain(results.iter().map(row)).collect::<Vec<_>>().join("\n")
}
