//! The plain HTTP port for operators: `/livez`, `/readyz` and `/metrics`. It is read-only.

use std::convert::Infallible;
use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::readiness::{Readiness, ReadinessHandle};
use crate::telemetry::Meters;

/// Maximum number of concurrent connections, enough for a scraper and a few probes.
const MAX_CONNECTIONS: usize = 64;
/// Maximum time for receiving the headers of a request, and for an idle connection.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// Maximum age of a connection, so that a client that does not read cannot hold its place forever.
const MAX_AGE: Duration = Duration::from_secs(300);
/// Pause after `accept` failed, for example because the process is out of file descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// The HTTP port and the data that it serves.
#[derive(Clone, Debug)]
pub struct Port {
    /// State for `/readyz`.
    pub readiness: ReadinessHandle,
    /// Metrics for `/metrics`.
    pub meters: Meters,
}

/// Listens on the address and prints `http on HOST:PORT` on standard output, after the line printed
/// by `server::listen`. Ignores errors when printing, because the reader may have closed the pipe.
///
/// # Errors
/// The address cannot be listened on.
pub async fn listen(address: SocketAddr) -> Result<TcpListener, ListenError> {
    let failed = |error| ListenError(address, error);
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let _ = writeln!(std::io::stdout(), "http on {}", listener.local_addr().map_err(failed)?);
    Ok(listener)
}

/// The HTTP port cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("TIDEGAUGE_HTTP_LISTEN: cannot listen on {0}: {1}")]
pub struct ListenError(SocketAddr, std::io::Error);

impl Port {
    /// Serves requests until the token is cancelled. It should be cancelled last, so that shutdown
    /// can be observed.
    pub fn serve(self, listener: TcpListener, stop: CancellationToken) {
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        tokio::spawn(stop.run_until_cancelled_owned(async move {
            loop {
                let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
                let Ok((stream, _)) = listener.accept().await else {
                    tokio::time::sleep(PAUSE).await;
                    continue;
                };
                let port = self.clone();
                tokio::spawn(async move {
                    // Errors and timeouts of a connection are not logged.
                    let _ = tokio::time::timeout(MAX_AGE, port.connection(stream)).await;
                    drop(place);
                });
            }
        }));
    }

    async fn connection(self, stream: TcpStream) -> hyper::Result<()> {
        let answer = service_fn(move |request: Request<Incoming>| {
            let answer = self.answer(request.method(), request.uri().path());
            async move { Ok::<_, Infallible>(answer) }
        });
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
        http.serve_connection(TokioIo::new(stream), answer).await
    }

    fn answer(&self, method: &Method, path: &str) -> Response<Full<Bytes>> {
        if method != Method::GET && method != Method::HEAD {
            return text(StatusCode::METHOD_NOT_ALLOWED, "only GET is supported\n".to_owned());
        }
        match path {
            "/livez" => text(StatusCode::OK, "alive\n".to_owned()),
            "/readyz" => match self.readiness.now() {
                Readiness::Ready => {
                    let conflicts = self.readiness.conflicts();
                    let notes = conflicts
                        .iter()
                        .map(|conflict| format!("unsafe settings: {}\n", conflict.sentence));
                    text(StatusCode::OK, "ready\n".to_owned() + &notes.collect::<String>())
                }
                Readiness::Waiting { sentence, .. } => {
                    text(StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {sentence}\n"))
                }
            },
            "/metrics" => match self.meters.render() {
                Ok(metrics) => text(StatusCode::OK, metrics),
                Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
            },
            _ => text(
                StatusCode::NOT_FOUND,
                "not found; available: /livez, /readyz and /metrics\n".to_owned(),
            ),
        }
    }
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let kind = header::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}
