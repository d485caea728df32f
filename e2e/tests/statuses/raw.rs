//! Calls that no well-behaved client makes, over hand-made HTTP/2.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request};
use tokio::net::TcpStream;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

const PATIENCE: Duration = Duration::from_secs(60);

/// A request.
#[derive(Clone, Debug)]
pub(crate) struct Raw {
    pub(crate) method: &'static str,
    pub(crate) path: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
    /// Whether the request ends after its body.
    pub(crate) ends: bool,
}

/// The answer to a request.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) http: u16,
    pub(crate) headers: HeaderMap,
    /// Status from the trailers, or from the headers of an answer without a body.
    pub(crate) status: Option<Status>,
}

impl Raw {
    pub(crate) fn call(path: &str, body: Vec<u8>) -> Self {
        let headers =
            vec![("content-type", "application/grpc".to_owned()), ("te", "trailers".to_owned())];
        Self { method: "POST", path: path.to_owned(), headers, body, ends: true }
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.retain(|(known, _)| *known != name);
        self.headers.push((name, value.into()));
        self
    }

    /// Leaves the request open after its body.
    pub(crate) fn open(self) -> Self {
        Self { ends: false, ..self }
    }

    /// Sends the request on a connection of its own to `http://HOST:PORT`.
    pub(crate) async fn send(self, url: &str) -> Answer {
        let what = format!("{self:?}");
        tokio::time::timeout(PATIENCE, self.exchange(url))
            .await
            .unwrap_or_else(|_| panic!("no answer to {what}"))
    }

    async fn exchange(self, url: &str) -> Answer {
        let stream = TcpStream::connect(url.trim_start_matches("http://")).await.unwrap();
        let (client, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        let mut request =
            Request::builder().method(self.method).uri(format!("http://localhost{}", self.path));
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        let mut client = client.ready().await.unwrap();
        let is_empty = self.body.is_empty() && self.ends;
        let (answer, mut body) = client.send_request(request.body(()).unwrap(), is_empty).unwrap();
        if !is_empty {
            // The answer may arrive before the body is sent.
            let _ = body.send_data(Bytes::from(self.body), self.ends);
        }
        let (head, mut data) = answer.await.unwrap().into_parts();
        let mut headers = head.headers;
        while let Some(part) = data.data().await {
            let part = part.unwrap();
            data.flow_control().release_capacity(part.len()).unwrap();
        }
        headers.extend(data.trailers().await.unwrap().unwrap_or_default());
        drop(body);
        Answer { http: head.status.as_u16(), status: Status::from_header_map(&headers), headers }
    }
}

impl Answer {
    pub(crate) fn code(&self) -> Code {
        self.status.as_ref().map_or(Code::Unknown, Status::code)
    }

    pub(crate) fn message(&self) -> &str {
        self.status.as_ref().map_or("", |status| status.message())
    }

    /// Returns the field that `BadRequest` names.
    pub(crate) fn field(&self) -> String {
        let violations = self
            .status
            .as_ref()
            .and_then(|status| status.get_error_details().bad_request().cloned());
        violations.map(|found| found.field_violations[0].field.clone()).unwrap_or_default()
    }
}

/// Returns a gRPC message with this flag.
pub(crate) fn framed(flag: u8, message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[flag][..], &length, message].concat()
}
