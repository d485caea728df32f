//! Running a service as a process: runtime, telemetry and exit code.

use std::fmt::Display;
use std::process::ExitCode;

use crate::config::LogConfig;
use crate::telemetry;

/// Runs `work` to completion, logs its error and flushes telemetry. Returns the exit code.
pub fn run<E: Display>(
    service: &'static str,
    log: &LogConfig,
    work: impl Future<Output = Result<(), E>>,
) -> ExitCode {
    // At least two threads: flushing telemetry blocks one of them until the exporter, which runs on
    // another, has finished.
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
    runtime.shutdown_background(); // does not wait for a hanging exporter
    ended
}

/// Prints an error on standard error, for use before the log is set up.
#[allow(clippy::print_stderr)]
fn complain(sentence: &str) -> ExitCode {
    eprintln!("{sentence}");
    ExitCode::FAILURE
}
