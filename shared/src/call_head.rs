//! Refuses requests that are not gRPC calls or whose headers are too large.

use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use tonic::Status;
use tonic::body::Body;

use crate::around::{Answer, Around};
use crate::status;

/// Maximum size of the request headers in bytes, counted as in HTTP/2 (RFC 9113, section 6.5.2).
const MAX_HEADER_BYTES: usize = 16 * 1024;
/// Maximum size of the headers that the transport reads, in bytes. Above it, the transport answers
/// HTTP 431 without a gRPC status, which clients report poorly. It is therefore larger than
/// [`MAX_HEADER_BYTES`], so that most oversized headers get a status with an explanation.
pub(crate) const MAX_TRANSPORT_HEADER_BYTES: u32 = 32 * 1024;
/// Bytes counted per header in addition to its name and value.
const HEADER_OVERHEAD: usize = 32;

/// The middleware that refuses requests that are not gRPC calls.
#[derive(Clone, Debug)]
pub(crate) struct CallHead;

impl Around for CallHead {
    fn call(&self, request: Request<Body>, inside: impl FnOnce(Request<Body>) -> Answer) -> Answer {
        match refused(&request) {
            None => inside(request),
            Some(answer) => Box::pin(std::future::ready(Ok(answer))),
        }
    }
}

/// Returns the response to a request that is not a gRPC call, or `None` if it is one.
fn refused(request: &Request<Body>) -> Option<Response<Body>> {
    if request.method() != Method::POST {
        let sentence = format!("is {}; gRPC calls are POST", request.method());
        let mut refusal =
            refusal(StatusCode::METHOD_NOT_ALLOWED, status::invalid_argument("method", sentence));
        refusal.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
        return Some(refusal);
    }
    let content_type = request.headers().get(CONTENT_TYPE);
    if !content_type.is_some_and(|value| is_grpc(value.as_bytes())) {
        let found = match content_type {
            Some(value) => format!(
                "is {:?}",
                String::from_utf8_lossy(&value.as_bytes()[..value.len().min(200)])
            ),
            None => "is missing".to_owned(),
        };
        let sentence = format!("{found}; expected application/grpc or application/grpc+proto");
        let status = status::invalid_argument("content-type", sentence);
        return Some(refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, status));
    }
    let bytes = header_bytes(request);
    if bytes > MAX_HEADER_BYTES {
        let sentence =
            format!("the request headers have {bytes} bytes; the limit is {MAX_HEADER_BYTES}");
        return Some(status::too_large(sentence).into_http());
    }
    None
}

/// Returns a response with a gRPC status and also an HTTP status, for clients that are not gRPC.
fn refusal(http: StatusCode, status: Status) -> Response<Body> {
    let mut refusal = status.into_http();
    *refusal.status_mut() = http;
    refusal
}

fn is_grpc(content_type: &[u8]) -> bool {
    let essence = content_type.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    [&b"application/grpc"[..], b"application/grpc+proto"]
        .iter()
        .any(|accepted| essence.eq_ignore_ascii_case(accepted))
}

fn header_bytes(request: &Request<Body>) -> usize {
    let of = |name: usize, value: usize| name + value + HEADER_OVERHEAD;
    let path = request.uri().path_and_query().map_or(0, |path| path.as_str().len());
    let authority = request.uri().authority().map_or(0, |authority| authority.as_str().len());
    let pseudo = of(":method".len(), 4)
        + of(":scheme".len(), 5)
        + of(":path".len(), path)
        + of(":authority".len(), authority);
    let sum = |headers: &HeaderMap| {
        headers.iter().map(|(name, value)| of(name.as_str().len(), value.len())).sum::<usize>()
    };
    pseudo + sum(request.headers())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal_of(request: http::request::Builder) -> (u16, String, String) {
        let refusal = refused(&request.body(Body::empty()).unwrap()).unwrap();
        let header = |name: &str| {
            refusal.headers()[name].to_str().unwrap().replace("%20", " ").replace("%22", "\"")
        };
        (refusal.status().as_u16(), header("grpc-status"), header("grpc-message"))
    }

    #[test]
    fn only_calls_of_grpc_are_taken() {
        for content_type in
            ["application/grpc", "application/grpc+proto", "Application/GRPC; charset=utf-8"]
        {
            let request = Request::post("/x/Y").header(CONTENT_TYPE, content_type);
            assert!(refused(&request.body(Body::empty()).unwrap()).is_none(), "{content_type}");
        }
        for content_type in [
            "application/json",
            "application/grpc-web",
            "application/grpc+json",
            "application/grpcx",
            "",
        ] {
            let (http, grpc, message) =
                refusal_of(Request::post("/x/Y").header(CONTENT_TYPE, content_type));
            assert_eq!((http, &*grpc), (415, "3"));
            assert!(
                message.starts_with(&format!(
                    "content-type: is {content_type:?}; expected application/grpc"
                )),
                "{message}"
            );
        }
        assert!(refusal_of(Request::post("/x/Y")).2.starts_with("content-type: is missing"));
        let (http, grpc, message) = refusal_of(Request::get("/x/Y"));
        assert_eq!((http, &*grpc, &*message), (405, "3", "method: is GET; gRPC calls are POST"));
    }

    #[test]
    fn headers_are_counted_as_http_2_counts_them() {
        let request = |bytes: usize| {
            let request = Request::post("/x/Y").header(CONTENT_TYPE, "application/grpc");
            request.header("x-fill", "a".repeat(bytes)).body(Body::empty()).unwrap()
        };
        let rest = header_bytes(&request(0));
        assert!(refused(&request(MAX_HEADER_BYTES - rest)).is_none());
        let refusal = refused(&request(MAX_HEADER_BYTES - rest + 1)).unwrap();
        assert_eq!(
            (refusal.status().as_u16(), &refusal.headers()["grpc-status"].to_str().unwrap()),
            (200, &"8")
        );
    }
}
