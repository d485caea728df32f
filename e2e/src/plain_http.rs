//! Requests to plain HTTP ports, those of the services and of Prometheus.

use http_body_util::{BodyExt as _, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Request, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Sends `GET` and returns status and body. `base` is `http://HOST:PORT`. `path` may have an
/// encoded query.
///
/// # Errors
/// Fails if the port does not answer.
pub async fn get(base: &str, path: &str) -> anyhow::Result<(u16, String)> {
    let address = base.trim_start_matches("http://");
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = Request::get(path).header(header::HOST, address).body(Empty::<Bytes>::new())?;
    let response = sender.send_request(request).await?;
    let status = response.status().as_u16();
    let body = response.into_body().collect().await?.to_bytes();
    Ok((status, String::from_utf8(body.to_vec())?))
}
