//! `cargo xtask fuzz`: each fuzz target for a while, and what it found.
//!
//! libFuzzer guides itself by what code an input reaches. What it needs of the compiler are options that stable Rust has; they
//! hold for everything that goes into a target, and so these builds have a folder of their own.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use crate::programs::{self, command};
use crate::release;

/// Counts how often each edge of the program is taken, and tells what numbers are compared with, where libFuzzer finds it.
const COVERAGE: [&str; 5] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
];
/// Longest input: some twenty points, or selectors.
const MAX_INPUT_BYTES: usize = 4_096;
/// An input that takes longer counts as a crash, in seconds.
const SLOWEST_INPUT: usize = 10;
/// So does one that takes more memory, in MiB.
const MOST_MEMORY: usize = 2_048;

/// Which targets, and for how long.
#[derive(Args)]
pub(crate) struct Options {
    /// Only these targets
    #[arg(value_enum, value_name = "TARGET")]
    only: Vec<Target>,
    /// How long each target runs, in seconds
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Print a JSON array with one entry per target instead of a table
    #[arg(long)]
    json: bool,
}

/// What bytes are fed to.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq)]
enum Target {
    /// A message of points: decoded, validated, sorted, encoded
    Ingest,
    /// A question: decoded, checked, planned
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

/// What came of one target.
struct Finding {
    target: Target,
    runs: u64,
    elapsed: Duration,
    /// The input that something did not hold for, where there is one: the target ends with it.
    crash: Option<PathBuf>,
}

/// Builds and runs them; an error where one crashed.
pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let programs = build().await?;
    let mut findings = Vec::new();
    for target in [Target::Ingest, Target::Query] {
        if options.only.is_empty() || options.only.contains(&target) {
            eprintln!("· {} for {} s", target.name(), options.seconds);
            findings.push(fuzz(target, &programs, options.seconds).await?);
        }
    }
    match options.json {
        true => println!("{}", as_json(&findings)),
        false => println!("{}", as_table(&findings)),
    }
    if findings.iter().any(|finding| finding.crash.is_some()) {
        bail!("a target crashed; it does so again with the kept input as its only argument");
    }
    Ok(())
}

/// Where all this goes.
fn folder() -> PathBuf {
    release::target().join("fuzz")
}

/// Builds the targets; returns the folder that they are in. The host is named as the target of the build, so that build
/// scripts and macros are built without the options.
async fn build() -> anyhow::Result<PathBuf> {
    let version = command("rustc").arg("-vV").output().await.context("cannot run rustc")?;
    let version = String::from_utf8_lossy(&version.stdout).into_owned();
    let host = version
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .context("rustc does not say its host")?;
    let mut cargo = command("cargo");
    cargo
        .args([
            "build",
            "--quiet",
            "--locked",
            "--profile",
            "fuzz",
            "--target",
            host,
            "--target-dir",
        ])
        .arg(folder());
    cargo
        .args(["--package", "fuzz", "--features", "link", "--bins"])
        .env("RUSTFLAGS", COVERAGE.join(" "));
    programs::run(&mut cargo)
        .await
        .context("the targets cannot be built; they need a C++ compiler")?;
    Ok(folder().join(host).join("fuzz"))
}

async fn fuzz(target: Target, programs: &Path, seconds: u64) -> anyhow::Result<Finding> {
    let name = target.name();
    let (corpus, crashes) = (folder().join("corpus").join(name), folder().join("crashes"));
    std::fs::create_dir_all(&corpus)?;
    std::fs::create_dir_all(&crashes)?;
    let mut program = command(&programs.join(format!("fuzz-{name}")).to_string_lossy());
    program.env("TIDEGAUGE_FUZZ_SEEDS", &corpus).arg(&corpus);
    program.arg(format!("-artifact_prefix={}/{name}-", crashes.display()));
    program.args([
        format!("-max_total_time={seconds}"),
        format!("-max_len={MAX_INPUT_BYTES}"),
        format!("-timeout={SLOWEST_INPUT}"),
        format!("-rss_limit_mb={MOST_MEMORY}"),
        "-print_final_stats=1".to_owned(),
    ]);
    let began = Instant::now();
    let output = program.output().await.with_context(|| format!("cannot run the target {name}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let crash = said
        .lines()
        .find_map(|line| Some(PathBuf::from(line.split_once("Test unit written to ")?.1)));
    if crash.is_some() || !output.status.success() {
        eprintln!("{said}");
    }
    if crash.is_none() && !output.status.success() {
        bail!("the target {name} failed: {}", output.status);
    }
    let runs = said
        .lines()
        .find_map(|line| line.strip_prefix("stat::number_of_executed_units:")?.trim().parse().ok());
    let runs =
        runs.with_context(|| format!("the target {name} does not say how many inputs it was fed"))?;
    Ok(Finding { target, runs, elapsed: began.elapsed(), crash })
}

fn as_json(findings: &[Finding]) -> Value {
    let entry = |Finding { target, runs, elapsed, crash }: &Finding| {
        let (crashes, seconds) = (u32::from(crash.is_some()), elapsed.as_secs());
        json!({
            "case": target.name(),
            "expected": "0 crashes",
            "seen": format!("{crashes} crashes in {runs} runs, {seconds} s"),
            "ok": crash.is_none(),
            "input": crash,
        })
    };
    findings.iter().map(entry).collect()
}

fn as_table(findings: &[Finding]) -> String {
    let row = |Finding { target, runs, elapsed, crash }: &Finding| {
        let input = crash.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
        let (crashes, seconds) = (u32::from(crash.is_some()), elapsed.as_secs());
        format!("{:8} {runs:>12} {crashes:>8} {seconds:>8}  {input}", target.name())
            .trim_end()
            .to_owned()
    };
    let heading = format!("{:8} {:>12} {:>8} {:>8}", "target", "runs", "crashes", "seconds");
    std::iter::once(heading).chain(findings.iter().map(row)).collect::<Vec<_>>().join("\n")
}
