//! Serves gRPC on a listener with the limits that tonic does not set by itself.

use std::net::SocketAddr;
use std::time::Duration;

use opentelemetry::metrics::Meter;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::Code;
use tonic::body::Body;
use tonic::service::Routes;
use tonic::transport::Server;
use tower::util::{MapRequestLayer, MapResponseLayer};

use crate::around::AroundLayer;
use crate::auth::Gate;
use crate::config::ServerConfig;
use crate::quotas::Quotas;
use crate::telemetry::Calls;
use crate::tls::Tls;
use crate::under_way::CallsUnderWay;
use crate::{compression, connections, proto, status};

/// Concurrent calls on one connection; tonic sets no limit.
const MAX_CONCURRENT_STREAMS: u32 = 128;
/// Streams reset by this side that a connection may pile up (RUSTSEC-2024-0003); tonic passes none.
const MAX_LOCAL_ERROR_RESET_STREAMS: usize = 1024;
/// Streams that a client has reset before they were looked at. One that gives up all its calls at once is no attacker; the
/// default of 20 would cut its connection, and with it whatever else goes on there.
const MAX_PENDING_ACCEPT_RESET_STREAMS: usize = 2 * MAX_CONCURRENT_STREAMS as usize;
/// Bytes of request headers.
const MAX_HEADER_LIST_BYTES: u32 = 16 * 1024;
/// HTTP/2 windows: what a sender may have under way, and what a call that waits for room holds. At a round trip of 50 ms this
/// is 10 MiB/s a stream.
const STREAM_WINDOW_BYTES: u32 = 512 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 2 * 1024 * 1024;
/// How soon a peer that vanished is noticed.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Why nothing is served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A setting, or a file that it names, cannot be used.
    #[error("{0}")]
    Setting(String),
    /// The address cannot be listened on.
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, std::io::Error),
    /// The transport failed.
    #[error(transparent)]
    Transport(#[from] tonic::transport::Error),
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
/// A file of certificates or identities cannot be used, or the transport failed.
pub async fn serve(
    listener: TcpListener,
    config: &ServerConfig,
    routes: Routes,
    meter: &Meter,
    shutdown: CancellationToken,
) -> Result<(), ServeError> {
    let every = config.access.reload_interval;
    let tls = Tls::start(&config.tls, every).await.map_err(ServeError::Setting)?;
    let gate = Gate::start(config.access.identities_file.as_deref(), every).await.map_err(ServeError::Setting)?;
    let quotas = Quotas::new(&config.quotas, meter);
    let max_message_bytes = config.max_message_bytes;
    let under_way = CallsUnderWay::new(shutdown.clone());
    let router = Server::builder()
        .max_concurrent_streams(MAX_CONCURRENT_STREAMS)
        .http2_max_local_error_reset_streams(Some(MAX_LOCAL_ERROR_RESET_STREAMS))
        .http2_max_pending_accept_reset_streams(Some(MAX_PENDING_ACCEPT_RESET_STREAMS))
        .http2_max_header_list_size(MAX_HEADER_LIST_BYTES)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .layer(AroundLayer(Calls::new(meter)))
        .layer(AroundLayer(under_way.clone()))
        .layer(AroundLayer(gate))
        .layer(AroundLayer(quotas.clone()))
        .layer(MapRequestLayer::new(compression::only_where_wanted::<Body>))
        .layer(MapResponseLayer::new(move |response| name_oversize(response, max_message_bytes)))
        .add_routes(routes);
    let cut = CancellationToken::new();
    let incoming = connections::accept(listener, tls, config, meter, cut.clone());
    let served = router.serve_with_incoming_shutdown(incoming, shutdown.clone().cancelled_owned());
    tokio::pin!(served);
    tokio::select! {
        served = &mut served => return Ok(served?),
        () = under_way.ended(config.shutdown_grace) => {}
    }
    cut.cancel();
    Ok(served.await?)
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

/// A unary call's oversize message is refused before any handler of ours runs, so its status is mended on the way out.
fn name_oversize(response: http::Response<Body>, max_message_bytes: usize) -> http::Response<Body> {
    let out_of_range = (Code::OutOfRange as i32).to_string();
    let oversize = response.headers().get("grpc-status").is_some_and(|code| code.as_bytes() == out_of_range.as_bytes());
    if oversize { status::message_too_large(max_message_bytes).into_http() } else { response }
}
