//! An ingest-service that trusts one address as a proxy. Its refusals reveal the address that it
//! takes a caller for.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use bytes::Bytes;
use e2e::{batch, database_url, get, now, point, unique, until};
use h2::client::{self, SendRequest};
use http::Request;
use ingest_service::config::IngestConfig;
use shared::config::defaults;
use shared::proto::v1::IngestBatchRequest;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic_prost::prost::Message as _;
use tonic_types::StatusExt as _;

/// Address from which the proxy connects.
pub(crate) const PROXY: &str = "127.0.0.9";
/// Limit on the connections of one address.
pub(crate) const MOST: usize = 2;

/// A running ingest-service, shut down on drop.
pub(crate) struct Service {
    pub(crate) address: SocketAddr,
    http: String,
    shutdown: CancellationToken,
}

impl Service {
    /// Starts the service, with TLS if the files of a certificate and its key are given.
    pub(crate) async fn start(tls: Option<(&Path, &Path)>) -> Self {
        let mut arguments = vec![
            format!("--database-url={}", database_url()),
            format!("--proxy-protocol-from={PROXY},10.0.0.0/8"),
        ];
        arguments.extend([
            format!("--client-max-connections={MOST}"),
            "--new-series-per-minute=1".to_owned(),
        ]);
        if let Some((certificate, key)) = tls {
            arguments.push(format!("--tls-certificate={}", certificate.display()));
            arguments.push(format!("--tls-key={}", key.display()));
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let config: IngestConfig = defaults(&arguments).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let http = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let shutdown = CancellationToken::new();
        let service = Self {
            address: listener.local_addr().unwrap(),
            http: format!("http://{}", http.local_addr().unwrap()),
            shutdown: shutdown.clone(),
        };
        tokio::spawn(async move {
            ingest_service::run(listener, http, config, shutdown).await.unwrap()
        });
        let is_ready =
            async || get(&service.http, "/readyz").await.ok().filter(|(status, _)| *status == 200);
        until("the service is ready", is_ready).await;
        service
    }

    /// Returns the number of connections closed because of their PROXY header.
    pub(crate) async fn refused(&self) -> f64 {
        let (_, metrics) = get(&self.http, "/metrics").await.unwrap();
        let is_it = |line: &&str| {
            line.starts_with("tidegauge_connections_refused_total")
                && line.contains("reason=\"proxy_header\"")
        };
        let line = metrics.lines().find(is_it).expect("the metric is missing");
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

/// Connects from a given local address.
pub(crate) async fn connect(from: &str, to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(from.parse::<IpAddr>().unwrap(), 0)).unwrap();
    socket.connect(to).await.unwrap()
}

/// Returns a batch with more new series than the service allows in a minute.
pub(crate) fn too_many_series() -> IngestBatchRequest {
    let device = unique("behind-proxy");
    let points = (0..10).map(|index| point(&format!("{device}-{index}"), now(), 1.0));
    IngestBatchRequest { batch: Some(batch(points.collect())) }
}

/// Returns the subject of a refusal.
pub(crate) fn subject(status: &Status) -> String {
    let details = status.get_error_details();
    details.quota_failure().unwrap_or_else(|| panic!("{status}")).violations[0].subject.clone()
}

/// Makes a call that is refused. Returns the client that the service takes the caller for.
pub(crate) async fn taken_for(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> Result<String, h2::Error> {
    Ok(call(stream).await?.0)
}

/// Does the same as `taken_for`. The connection stays open as long as the returned sender.
pub(crate) async fn call(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> Result<(String, SendRequest<Bytes>), h2::Error> {
    let (client, connection) = client::handshake(stream).await?;
    tokio::spawn(connection);
    let mut client = client.ready().await?;
    let request = Request::post("http://localhost/tidegauge.v1.IngestService/IngestBatch");
    let request = request
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())
        .unwrap();
    let (answer, mut body) = client.send_request(request, false)?;
    let message = too_many_series().encode_to_vec();
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    body.send_data(Bytes::from([&[0][..], &length, &message].concat()), true)?;
    let headers = answer.await?.into_parts().0.headers;
    Ok((subject(&Status::from_header_map(&headers).expect("the call was not refused")), client))
}
