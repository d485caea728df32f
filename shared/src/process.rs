//! A service as a process: its runtime, its telemetry around the work, and how it ends.

use std::fmt::Display;
use std::process::ExitCode;

use crate::config::LogConfig;
use crate::telemetry;

/// Runs the work of `main`, logs its error, and sends what is left of spans before the process ends.
pub fn run<E: Display>(
    service: &'static str,
    log: &LogConfig,
    work: impl Future<Output = Result<(), E>>,
) -> ExitCode {
    // A collector that is told the last from one thread answers on another.
    let threads = std::thread::available_parallelism().map_or(2, |threads| threads.get().max(2));
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return complain(&format!("cannot start: {error}")),
    };
    let ended = runtime.block_on(async {
        let telemetry = match telemetry::init(log, service) {
            Ok(telemetry) => telemetry,
            Err(error) => return complain(&error.to_string()),
        };
        let outcome = work.await;
        if let Err(error) = &outcome {
            tracing::error!("{error:#}");
        }
        telemetry.shutdown().await;
        if outcome.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    });
    runtime.shutdown_background(); // does not wait for an exporter that was given up
    ended
}

/// Where there is no log yet.
#[allow(clippy::print_stderr)]
fn complain(sentence: &str) -> ExitCode {
    eprintln!("{sentence}");
    ExitCode::FAILURE
}
