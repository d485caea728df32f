//! Starts query-service.

use std::process::ExitCode;

use anyhow::Context as _;
use query_service::cli::{Cli, Command};
use shared::{config, server, shutdown, telemetry};

fn main() -> ExitCode {
    let (cli, settings) = config::parse::<Cli>();
    if let Some(Command::Keys { command }) = cli.command {
        return command.run_to_exit_code();
    }
    let outcome = telemetry::init(&cli.log).context("TIDEGAUGE_LOG").and_then(|()| {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(async {
            tracing::info!(%settings, "configuration");
            let shutdown = shutdown::on_signal()?;
            let listener = server::listen(cli.listen, &cli.config.server).await?;
            query_service::run(listener, cli.config, shutdown).await
        })
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
