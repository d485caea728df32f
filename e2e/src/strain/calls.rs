//! Calls with arbitrary bytes as their body, over valid HTTP/2.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, Request};
use tokio::net::TcpStream;

/// Time limit for a call.
const PATIENCE: Duration = Duration::from_secs(60);

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// With a gRPC code.
    Code(i32),
    /// With an HTTP status and no gRPC code.
    Http(u16),
    /// With a closed stream or connection.
    Closed(String),
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "{:?}", tonic::Code::from(*code)),
            Self::Http(status) => write!(f, "HTTP {status}"),
            Self::Closed(why) => write!(f, "closed: {why}"),
        }
    }
}

/// Returns a gRPC message: a five-byte header and the body.
pub(super) fn framed(compressed: bool, message: &[u8]) -> anyhow::Result<Bytes> {
    let mut framed = BytesMut::with_capacity(5 + message.len());
    framed.put_u8(u8::from(compressed));
    framed.put_u32(u32::try_from(message.len()).context("a message over 4 GiB")?);
    framed.extend_from_slice(message);
    Ok(framed.freeze())
}

/// Calls a method of `IngestService` on a connection of its own.
pub(super) async fn call(
    address: SocketAddr,
    method: &str,
    headers: &[(&str, &str)],
    body: Bytes,
) -> anyhow::Result<Ended> {
    let mut request =
        Request::post(format!("http://{address}/tidegauge.v1.IngestService/{method}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(())?;
    let (mut client, connection) =
        h2::client::handshake(TcpStream::connect(address).await?).await?;
    let connection = tokio::spawn(connection);
    let exchange = async {
        let (response, mut stream) = client.send_request(request, false)?;
        // Data that the service has no window for waits in this client's memory.
        stream.send_data(body, true)?;
        let response = response.await?;
        let status = response.status();
        let at_once = code(response.headers());
        let mut answer = response.into_body();
        while let Some(data) = answer.data().await {
            answer.flow_control().release_capacity(data?.len())?;
        }
        let trailers = answer.trailers().await?;
        Ok(at_once.or_else(|| code(&trailers?)).map_or(Ended::Http(status.as_u16()), Ended::Code))
    };
    let ended =
        tokio::time::timeout(PATIENCE, exchange).await.context("the call did not end in time")?;
    connection.abort();
    Ok(ended.unwrap_or_else(|error: h2::Error| Ended::Closed(error.to_string())))
}

fn code(headers: &HeaderMap) -> Option<i32> {
    headers.get("grpc-status")?.to_str().ok()?.parse().ok()
}
