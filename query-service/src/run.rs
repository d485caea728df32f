//! Assembles the service from its modules and runs it.

use anyhow::Context as _;
use shared::http::Port;
use shared::proto::v1::query_service_server::{QueryServiceServer, SERVICE_NAME};
use shared::shutdown::FINISH;
use shared::telemetry::Meters;
use shared::{readiness, server};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::codec::CompressionEncoding;
use tonic::service::Routes;

use crate::config::QueryConfig;
use crate::grpc::QueryServer;
use crate::permissions::Permitted;
use crate::read_pool::ReadPool;
use crate::relations::Relations;
use crate::series::SeriesFinder;
use crate::watch::Watchers;

/// Serves gRPC on `listener`, and probes and metrics on `http`. Returns once `shutdown` is
/// cancelled and the calls in progress have ended. The database may become available later: until
/// then calls fail with UNAVAILABLE.
///
/// # Errors
/// Returns an error if the transport fails.
pub async fn run(
    listener: TcpListener,
    http: TcpListener,
    config: QueryConfig,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    tracing::info!(
        address = %listener.local_addr()?,
        http = %http.local_addr()?,
        database = %config.database.address(),
        "starting query-service"
    );
    let meters = Meters::new("query-service")?;
    let (reporter, health) = tonic_health::server::health_reporter();
    let readiness = readiness::watch(
        config.database.clone(),
        reporter,
        &[SERVICE_NAME],
        None,
        shutdown.clone(),
    )
    .await;
    shared::metrics::observe_readiness(&meters.meter(), &readiness);
    let stop = CancellationToken::new();
    Port { readiness, meters: meters.clone() }.serve(http, stop.clone());
    let query_timeout = config.query_timeout;
    let pool = ReadPool::new(
        &config.database,
        config.database_connections.get(),
        query_timeout,
        &meters.meter(),
    );
    let watchers = Watchers::new(&config, shutdown.clone());
    let relations = Relations::default();
    let finder = SeriesFinder::new(pool.clone());
    let server = QueryServer { pool: pool.clone(), relations, finder, query_timeout, watchers };
    let service = QueryServiceServer::new(Permitted(server))
        .max_decoding_message_size(config.server.max_message_bytes)
        .accept_compressed(CompressionEncoding::Gzip)
        .accept_compressed(CompressionEncoding::Zstd)
        .send_compressed(CompressionEncoding::Gzip)
        .send_compressed(CompressionEncoding::Zstd);
    let routes = server::with_reflection(Routes::new(health).add_service(service))?;
    server::serve(listener, &config.server, routes, &meters.meter(), shutdown)
        .await
        .context("cannot serve")?;
    if tokio::time::timeout(FINISH, pool.close()).await.is_err() {
        tracing::warn!(timeout = ?FINISH, "database connections did not close in time");
    }
    stop.cancel();
    meters.shutdown().await;
    tracing::info!("query-service stopped");
    Ok(())
}
