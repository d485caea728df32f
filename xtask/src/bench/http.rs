//! HTTP/1.1 client on one connection, for the rivals.

use anyhow::{Context as _, ensure};
use http::{Method, Request};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use prost::bytes::Bytes;
use tokio::net::TcpStream;

/// A connection that is opened again if the server has closed it.
pub(super) struct HttpConnection {
    sender: SendRequest<Full<Bytes>>,
    host: String,
}

impl HttpConnection {
    pub(super) async fn connect(address: &str) -> anyhow::Result<Self> {
        Ok(Self { sender: open(address).await?, host: address.to_owned() })
    }

    /// Sends a request and returns the body of the response. Fails unless the status is a success.
    pub(super) async fn call(
        &mut self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> anyhow::Result<Bytes> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", &self.host)
            .body(Full::new(body))?;
        // A server closes a connection after some time.
        if self.sender.ready().await.is_err() {
            self.sender = open(&self.host).await?;
        }
        let response = self.sender.send_request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        ensure!(status.is_success(), "{path}: {status}: {}", String::from_utf8_lossy(&body));
        Ok(body)
    }
}

async fn open(address: &str) -> anyhow::Result<SendRequest<Full<Bytes>>> {
    let stream =
        TcpStream::connect(address).await.with_context(|| format!("cannot reach {address}"))?;
    stream.set_nodelay(true)?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection); // ends with the sender; errors surface in the calls
    Ok(sender)
}
