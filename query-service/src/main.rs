//! The command line of query-service.

use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser;
use query_service::config::QueryConfig;
use shared::config::LogConfig;
use shared::{server, shutdown, telemetry};
use tokio::net::TcpListener;

/// Answers questions about stored points over gRPC.
#[derive(Parser)]
#[command(name = "query-service", version)]
struct Cli {
    /// Address to listen on; port 0 picks a free one
    #[arg(long, env = "TIDEGAUGE_QUERY_LISTEN", default_value = "127.0.0.1:50052", value_name = "HOST:PORT")]
    listen: SocketAddr,
    #[command(flatten)]
    config: QueryConfig,
    #[command(flatten)]
    log: LogConfig,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = telemetry::init(&cli.log).context("TIDEGAUGE_LOG").and_then(|()| {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(async {
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
