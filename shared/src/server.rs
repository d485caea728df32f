//! Serves gRPC on a listener: the middleware around every call, and graceful shutdown.
//! `server/http2.rs` has the limits of connections.

mod http2;

use std::net::SocketAddr;

use opentelemetry::metrics::Meter;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::service::Routes;
use tower::ServiceBuilder;
use tower::util::MapRequestLayer;

use crate::around::AroundLayer;
use crate::auth::Gate;
use crate::call_head::CallHead;
use crate::config::ServerConfig;
use crate::deadline::Deadlines;
use crate::quotas::Quotas;
use crate::status::Statuses;
use crate::telemetry::Calls;
use crate::tls::Tls;
use crate::under_way::CallsUnderWay;
use crate::{compression, connections, proto};

/// Reason why serving failed.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A setting is invalid, or a file that it names.
    #[error("{0}")]
    Setting(String),
    /// The address cannot be listened on.
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, std::io::Error),
}

/// Listens on the address and prints `listening on HOST:PORT` on standard output, which tells the
/// port to a program that asked for port 0.
///
/// # Errors
/// The address cannot be listened on, or must not be without TLS and authentication.
#[allow(clippy::print_stdout)] // this line is read by programs; everything else is logged
pub async fn listen(address: SocketAddr, config: &ServerConfig) -> Result<TcpListener, ServeError> {
    config.check_listen(address).map_err(ServeError::Setting)?;
    config.tls.pair().map_err(ServeError::Setting)?;
    let failed = |error| ServeError::Listen(address, error);
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    println!("listening on {}", listener.local_addr().map_err(failed)?);
    Ok(listener)
}

/// Serves calls until the token is cancelled. Then sends GOAWAY on all connections and waits until
/// the running calls have ended or the grace period has passed. Connections without calls are
/// closed after a short delay, because their clients may be gone or silent.
///
/// # Errors
/// A file of certificates or identities is invalid.
pub async fn serve(
    listener: TcpListener,
    config: &ServerConfig,
    routes: Routes,
    meter: &Meter,
    shutdown: CancellationToken,
) -> Result<(), ServeError> {
    let every = config.access.reload_interval;
    let tls = Tls::start(&config.tls, every).await.map_err(ServeError::Setting)?;
    let gate = Gate::start(config.access.identities_file.as_deref(), every)
        .await
        .map_err(ServeError::Setting)?;
    let quotas = Quotas::new(&config.quotas, meter);
    let under_way = CallsUnderWay::new(shutdown.clone());
    let service = ServiceBuilder::new() // outermost layer first
        .layer(AroundLayer(Calls::new(meter)))
        .layer(AroundLayer(Statuses { max_message_bytes: config.max_message_bytes }))
        .layer(AroundLayer(CallHead))
        .layer(AroundLayer(Deadlines))
        .layer(AroundLayer(under_way.clone()))
        .layer(AroundLayer(gate))
        .layer(AroundLayer(quotas))
        .layer(MapRequestLayer::new(compression::only_where_wanted::<Body>))
        .service(routes.prepare());
    let cut = CancellationToken::new();
    let incoming = connections::accept(listener, tls, config, meter, cut.clone());
    let served = http2::serve(incoming, service, shutdown);
    tokio::pin!(served);
    tokio::select! {
        () = &mut served => return Ok(()),
        () = under_way.ended(config.shutdown_grace) => {}
    }
    cut.cancel();
    served.await;
    Ok(())
}

/// Adds the reflection services (v1 and v1alpha) for the whole contract.
///
/// # Errors
/// The embedded descriptors are invalid, which is a defect of the build.
pub fn with_reflection(mut routes: Routes) -> Result<Routes, tonic_reflection::server::Error> {
    let builder = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(proto::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    routes = routes.add_service(builder().build_v1()?);
    Ok(routes.add_service(builder().build_v1alpha()?))
}
