//! The plain HTTP port for whoever operates the service: `/livez`, `/readyz` and `/metrics`. It takes nothing in.

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

/// Connections at once; a scraper and a few probes need no more.
const MAX_CONNECTIONS: usize = 64;
/// How long a request's headers may take, and a connection may rest.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection may last: one that does not read its answer must not keep its place.
const MAX_AGE: Duration = Duration::from_secs(300);
/// Pause after the listener failed, as it does where file descriptors run out.
const PAUSE: Duration = Duration::from_millis(100);

/// What the port tells.
#[derive(Clone, Debug)]
pub struct Port {
    /// For `/readyz`.
    pub readiness: ReadinessHandle,
    /// For `/metrics`.
    pub meters: Meters,
}

/// Listens, and prints `http on HOST:PORT` on standard output, below the line of `server::listen`. Whoever started the service
/// may have stopped reading there.
///
/// # Errors
/// The address cannot be listened on.
pub async fn listen(address: SocketAddr) -> Result<TcpListener, ListenError> {
    let failed = |error| ListenError(address, error);
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let _ = writeln!(std::io::stdout(), "http on {}", listener.local_addr().map_err(failed)?);
    Ok(listener)
}

/// The address of the port cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("TIDEGAUGE_HTTP_LISTEN: cannot listen on {0}: {1}")]
pub struct ListenError(SocketAddr, std::io::Error);

impl Port {
    /// Answers until the token is cancelled: to the very end, so that a service that is ending can be watched.
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
                    // A connection that breaks or lasts too long is not worth a word.
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
            return text(StatusCode::METHOD_NOT_ALLOWED, "only GET is served\n".to_owned());
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
            _ => {
                text(StatusCode::NOT_FOUND, "/livez, /readyz and /metrics are served\n".to_owned())
            }
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
