//! The command line of query-service.

use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser;
use query_service::config::QueryConfig;
use shared::config::LogConfig;
use shared::{http, process, server, shutdown};
use tokio::net::TcpListener;

/// Answers questions about stored points over gRPC.
#[derive(Parser)]
#[command(name = "query-service", version)]
struct Cli {
    /// Address to listen on; port 0 picks a free one
    #[arg(long, env = "TIDEGAUGE_QUERY_LISTEN", default_value = "127.0.0.1:50052", value_name = "HOST:PORT")]
    listen: SocketAddr,
    /// Address of /livez, /readyz and /metrics (plain HTTP, no TLS, no authentication); port 0 picks a free one
    #[arg(long, env = "TIDEGAUGE_HTTP_LISTEN", default_value = "127.0.0.1:9465", value_name = "HOST:PORT")]
    http_listen: SocketAddr,
    #[command(flatten)]
    config: QueryConfig,
    #[command(flatten)]
    log: LogConfig,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    process::run("query-service", &cli.log, async {
        let shutdown = shutdown::on_signal()?;
        let listener =
            TcpListener::bind(cli.listen).await.with_context(|| format!("cannot listen on {}", cli.listen))?;
        let http_listener = TcpListener::bind(cli.http_listen).await;
        let http_listener =
            http_listener.with_context(|| format!("cannot listen on {} (TIDEGAUGE_HTTP_LISTEN)", cli.http_listen))?;
        server::announce(&listener)?;
        http::announce(&http_listener)?;
        query_service::run(listener, http_listener, cli.config, shutdown).await
    })
}
