//! Assembles the modules and runs the service.

use std::sync::Arc;

use anyhow::Context as _;
use shared::config::DatabaseConfig;
use shared::http::Port;
use shared::shutdown::FINISH;
use shared::telemetry::Meters;
use shared::{readiness, server};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::codec::CompressionEncoding;
use tonic::service::Routes;

use crate::config::IngestConfig;
use crate::database_sample;
use crate::grpc::IngestServer;
use crate::intake::Intake;
use crate::ledger_reader::LedgerReader;
use crate::metrics::Metrics;
use crate::migration;
use crate::refusals::Refusals;
use crate::scheduling::lanes::Lanes;
use crate::series_resolver::SeriesResolver;
use crate::service::ingest_service_server::{IngestServiceServer, SERVICE_NAME};

/// Serves gRPC on `listener`, and probes and metrics on `http`, until the token is cancelled. Then
/// finishes the calls in progress, writes the accepted batches, and returns.
///
/// The database may become available later: until then calls are answered with UNAVAILABLE.
///
/// # Errors
/// Fails if the configuration contradicts itself or the transport fails.
pub async fn run(
    listener: TcpListener,
    http: TcpListener,
    config: IngestConfig,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    config.check().map_err(anyhow::Error::msg)?;
    tracing::info!(
        address = %listener.local_addr()?,
        http = %http.local_addr()?,
        database = %config.database.address(),
        "ingest-service is starting"
    );
    let meters = Meters::new("ingest-service")?;
    let metrics = Metrics::new(meters.meter());
    if config.migrate {
        tokio::spawn(shutdown.clone().run_until_cancelled_owned(migrate(config.database.clone())));
    }
    let (reporter, health) = tonic_health::server::health_reporter();
    let readiness = readiness::watch(
        config.database.clone(),
        reporter,
        &[SERVICE_NAME],
        Some(config.limits.oldest_accepted),
        shutdown.clone(),
    )
    .await;
    shared::metrics::observe_readiness(metrics.meter(), &readiness);
    shared::metrics::observe_settings(metrics.meter(), &readiness);
    let stop = CancellationToken::new();
    Port { readiness: readiness.clone(), meters: meters.clone() }.serve(http, stop.clone());
    database_sample::start(config.database.clone(), readiness.clone(), &metrics, shutdown.clone());
    let (lanes, writers) = Lanes::start(&config.database, &config.flush, &metrics);
    let tasks = TaskTracker::new();
    let service = IngestServer {
        intake: intake(&config, lanes, &metrics),
        readiness,
        max_message_bytes: config.server.max_message_bytes,
        stream_max_age: config.server.stream_max_age,
        tasks: tasks.clone(),
        shutdown: shutdown.clone(),
    };
    let service = IngestServiceServer::new(service)
        .max_decoding_message_size(config.server.max_message_bytes)
        .accept_compressed(CompressionEncoding::Gzip)
        .accept_compressed(CompressionEncoding::Zstd)
        .send_compressed(CompressionEncoding::Gzip)
        .send_compressed(CompressionEncoding::Zstd);
    let routes = server::with_reflection(Routes::new(health).add_service(service))?;
    server::serve(listener, &config.server, routes, metrics.meter(), shutdown)
        .await
        .context("cannot serve")?;
    drain(tasks, writers).await;
    stop.cancel();
    meters.shutdown().await;
    tracing::info!("ingest-service has stopped");
    Ok(())
}

/// Assembles the stages of a batch before its lane.
fn intake(config: &IngestConfig, lanes: Lanes, metrics: &Metrics) -> Intake {
    Intake {
        limits: Arc::new(config.limits.clone()),
        resolver: SeriesResolver::start(
            config.database.clone(),
            config.flush.write_timeout,
            config.flush.series_cache.get(),
            config.series.new_series_per_minute,
            metrics.clone(),
        ),
        lanes,
        ledger: LedgerReader::new(config.database.clone()),
        refusals: Refusals::new(metrics.clone()),
        metrics: metrics.clone(),
    }
}

/// Waits until the tasks of the calls are done, and then the writers, for at most `FINISH`. Batches
/// that are not stored by then were not acknowledged.
async fn drain(tasks: TaskTracker, mut writers: JoinSet<()>) {
    tasks.close();
    let drained = async {
        tasks.wait().await;
        while writers.join_next().await.is_some() {}
    };
    if tokio::time::timeout(FINISH, drained).await.is_err() {
        tracing::warn!(
            calls = tasks.len(),
            writers = writers.len(),
            "shutdown timed out with batches that are not stored"
        );
    }
}

/// Migrates the schema. Waits while the database is unavailable.
async fn migrate(database: DatabaseConfig) {
    if let Err(error) = migration::migrate(&database, |_| true).await {
        tracing::error!("cannot migrate {}: {error}", database.address());
    }
}
