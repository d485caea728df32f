//! Starts query-service.

use std::process::ExitCode;

use anyhow::Context as _;
use query_service::cli::Cli;
use shared::{config, server, shutdown, telemetry};
use tokio::net::TcpListener;

fn main() -> ExitCode {
    let (cli, settings) = config::parse::<Cli>();
    let outcome = telemetry::init(&cli.log).context("TIDEGAUGE_LOG").and_then(|()| {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(async {
            tracing::info!(%settings, "configuration");
            let shutdown = shutdown::on_signal()?;
            let listener =
                TcpListener::bind(cli.listen).await.with_context(|| format!("cannot listen on {}", cli.listen))?;
            server::announce(&listener)?;
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
