//! Serves gRPC on a listener: what stands around every call, and when serving ends. `server/http2.rs` has the limits of a
//! connection.

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

/// Why nothing is served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A setting, or a file that it names, cannot be used.
    #[error("{0}")]
    Setting(String),
    /// The address cannot be listened on.
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, std::io::Error),
}

/// Listens, if it may without TLS and authentication or has both, and prints `listening on HOST:PORT` on standard output for
/// whoever started the service with port 0.
///
/// # Errors
/// It may not, or the address is not to be had.
#[allow(clippy::print_stdout)] // the one line that is read by machines; all else goes through tracing
pub async fn listen(address: SocketAddr, config: &ServerConfig) -> Result<TcpListener, ServeError> {
    config.check_listen(address).map_err(ServeError::Setting)?;
    config.tls.pair().map_err(ServeError::Setting)?;
    let failed = |error| ServeError::Listen(address, error);
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    println!("listening on {}", listener.local_addr().map_err(failed)?);
    Ok(listener)
}

/// Serves the routes until the token is cancelled and the calls under way have ended, or the grace has passed. Connections
/// are told with GOAWAY; one without a call, whose client may be gone or silent, is waited for no longer than a moment.
///
/// # Errors
/// A file of certificates or identities cannot be used.
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
    let service = ServiceBuilder::new() // the outermost first
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

/// The reflection services (v1 and v1alpha) over the whole contract.
///
/// # Errors
/// The embedded descriptors cannot be read; a defect of the build.
pub fn with_reflection(mut routes: Routes) -> Result<Routes, tonic_reflection::server::Error> {
    let builder = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(proto::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    routes = routes.add_service(builder().build_v1()?);
    Ok(routes.add_service(builder().build_v1alpha()?))
}
