//! Compression of messages with gzip and zstd.
//!
//! tonic bounds incoming messages: it stops decompressing at the size limit.

use http::HeaderMap;
use http::header::HeaderValue;

const ENCODING: &str = "grpc-encoding";
const ACCEPT_ENCODING: &str = "grpc-accept-encoding";

/// Removes the accepted encodings from a call's headers unless the client wants compressed
/// responses: it compresses its own messages, or it accepts zstd.
///
/// Nearly every gRPC client announces gzip by default, but in a local network compressing costs
/// more than it saves.
pub(crate) fn only_where_wanted<B>(mut request: http::Request<B>) -> http::Request<B> {
    if !is_wanted(request.headers()) {
        request.headers_mut().remove(ACCEPT_ENCODING);
    }
    request
}

fn is_wanted(headers: &HeaderMap) -> bool {
    let sends = headers.get(ENCODING).is_some_and(|encoding| encoding != "identity");
    sends || headers.get(ACCEPT_ENCODING).is_some_and(takes_zstd)
}

fn takes_zstd(accepted: &HeaderValue) -> bool {
    accepted.to_str().is_ok_and(|accepted| accepted.split(',').any(|name| name.trim() == "zstd"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_kept(headers: &[(&str, &str)]) -> bool {
        let mut request = http::Request::builder();
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        only_where_wanted(request.body(()).unwrap()).headers().contains_key(ACCEPT_ENCODING)
    }

    #[test]
    fn answers_are_compressed_for_those_who_compress_and_those_who_take_zstd() {
        assert!(is_kept(&[(ENCODING, "gzip"), (ACCEPT_ENCODING, "identity, deflate, gzip")]));
        assert!(is_kept(&[(ACCEPT_ENCODING, "gzip, zstd")]));
        assert!(
            !is_kept(&[(ACCEPT_ENCODING, "identity, deflate, gzip")]),
            "clients announce gzip by default"
        );
        assert!(!is_kept(&[(ENCODING, "identity"), (ACCEPT_ENCODING, "gzip")]));
    }
}
