//! Serves HTTP/2 connections with hyper directly. tonic's own server handles `grpc-timeout` outside
//! of all layers and answers CANCELLED; this module does the rest of its work.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::body::Body;
use tonic::transport::server::Connected as _;
use tower::{Service, ServiceExt as _};

use crate::call_head::MAX_TRANSPORT_HEADER_BYTES;
use crate::connections::Connection;

/// Maximum number of concurrent calls per connection.
const MAX_CONCURRENT_STREAMS: u32 = 128;
/// Maximum number of streams per connection that this side has reset after errors of the client
/// (RUSTSEC-2024-0003).
const MAX_LOCAL_ERROR_RESET_STREAMS: usize = 1024;
/// Maximum number of streams per connection that the client reset before they were accepted. A
/// client that cancels all its calls at once is legitimate; the default of 20 would close its
/// connection with all other calls on it.
const MAX_PENDING_ACCEPT_RESET_STREAMS: usize = 2 * MAX_CONCURRENT_STREAMS as usize;
/// Initial flow control window of a stream: the amount of data that a sender may have in transit,
/// and that a waiting call holds. At a round trip of 50 ms, it allows 10 MiB/s per stream.
const STREAM_WINDOW_BYTES: u32 = 512 * 1024;
/// Initial flow control window of a connection.
const CONNECTION_WINDOW_BYTES: u32 = 2 * 1024 * 1024;
/// Interval of HTTP/2 pings.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
/// Maximum time for the response to a ping. The connection is closed after it.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Serves connections until the token is cancelled, then sends GOAWAY on all of them and waits
/// until they are closed.
pub(super) async fn serve<S>(
    mut connections: ReceiverStream<io::Result<Connection>>,
    service: S,
    shutdown: CancellationToken,
) where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send + 'static,
{
    let open = TaskTracker::new();
    while let Some(Some(next)) = shutdown.run_until_cancelled(connections.next()).await {
        match next {
            Ok(connection) => {
                drop(open.spawn(serve_one(connection, service.clone(), shutdown.clone())))
            }
            Err(error) => tracing::debug!(%error, "cannot accept a connection"),
        }
    }
    drop(connections); // accept no new connections while waiting for the open ones
    open.close();
    open.wait().await;
}

async fn serve_one<S>(connection: Connection, service: S, shutdown: CancellationToken)
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send + 'static,
{
    let peer = connection.connect_info();
    let service = service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(peer.clone());
        service.clone().oneshot(request)
    });
    let served = builder().serve_connection(TokioIo::new(connection), service);
    tokio::pin!(served);
    let ended = tokio::select! {
        ended = &mut served => ended,
        () = shutdown.cancelled() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection failed");
    }
}

fn builder() -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_CONCURRENT_STREAMS)
        .max_local_error_reset_streams(MAX_LOCAL_ERROR_RESET_STREAMS)
        .max_pending_accept_reset_streams(MAX_PENDING_ACCEPT_RESET_STREAMS)
        .max_header_list_size(MAX_TRANSPORT_HEADER_BYTES)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT);
    builder
}
