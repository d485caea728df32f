//! The header of the PROXY protocol, versions 1 and 2, in which a proxy sends its client's address.
//!
//! The header is only read on connections from the configured proxies, and it is mandatory there:
//! anyone who may send a header can claim any address. The format is that of HAProxy's
//! `proxy-protocol.txt`; `proxy-protocol-rs` parses it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use proxy_protocol_rs::{IpNet, ParseError, TransportProtocol, V2_SIGNATURE, parse};
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Maximum time for receiving the header. A proxy sends it at once, before any data of its client.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// Maximum size of a header in bytes. Addresses take at most 216 bytes; the rest is for extensions
/// such as certificate names.
const MAX_HEADER_BYTES: usize = 4_096;
/// Size of the fixed part of version 2: signature, version and command, family, length of the rest.
const FIXED_BYTES: usize = 16;
/// Maximum length of a version 1 line in bytes, including its line ending.
const MAX_LINE_BYTES: usize = 107;
const LINE_BEGINS: &[u8] = b"PROXY ";

/// Addresses and networks whose connections must begin with a header.
#[derive(Clone, Debug)]
pub(super) struct Proxies(Arc<[IpNet]>);

impl Proxies {
    pub(super) fn new(from: &[IpNet]) -> Self {
        if from.iter().any(|network| network.prefix_len() == 0) {
            tracing::warn!(
                "TIDEGAUGE_PROXY_PROTOCOL_FROM trusts every address: any client can \
                 claim any address"
            );
        }
        Self(from.into())
    }

    pub(super) fn contain(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }
}

/// Reads the header and nothing after it. Returns the client's address, or `None` if the connection
/// is the proxy's own, such as a health check, or its client has no IP address.
///
/// # Errors
/// The header is missing, incomplete or invalid. The message gives the reason.
pub(super) async fn read(
    stream: &mut (impl AsyncRead + Unpin),
) -> Result<Option<SocketAddr>, String> {
    match tokio::time::timeout(HEADER_TIMEOUT, header(stream)).await {
        Ok(header) => source(&header?),
        Err(_) => {
            Err(format!("no complete PROXY protocol header received within {HEADER_TIMEOUT:?}"))
        }
    }
}

/// Reads the bytes of the header. Both versions tell its end before anything after it is read.
async fn header(stream: &mut (impl AsyncRead + Unpin)) -> Result<Vec<u8>, String> {
    let broken =
        |error: std::io::Error| format!("no complete PROXY protocol header received: {error}");
    let mut header = vec![0; V2_SIGNATURE.len()];
    stream.read_exact(&mut header).await.map_err(broken)?;
    if header == V2_SIGNATURE {
        header.resize(FIXED_BYTES, 0);
        stream.read_exact(&mut header[V2_SIGNATURE.len()..]).await.map_err(broken)?;
        let whole = FIXED_BYTES + usize::from(u16::from_be_bytes([header[14], header[15]]));
        if whole > MAX_HEADER_BYTES {
            return Err(format!(
                "PROXY protocol header has {whole} bytes; the limit is {MAX_HEADER_BYTES}"
            ));
        }
        header.resize(whole, 0);
        stream.read_exact(&mut header[FIXED_BYTES..]).await.map_err(broken)?;
    } else if header.starts_with(LINE_BEGINS) {
        while !header.ends_with(b"\n") && header.len() < MAX_LINE_BYTES {
            header.push(stream.read_u8().await.map_err(broken)?);
        }
    } else {
        return Err("no PROXY protocol header received; connections from this address must \
                    begin with one"
            .to_owned());
    }
    Ok(header)
}

fn source(header: &[u8]) -> Result<Option<SocketAddr>, String> {
    let (info, length) = parse(header).map_err(|error| match error {
        ParseError::Incomplete => "PROXY protocol header has no end".to_owned(),
        error => format!("invalid PROXY protocol header: {error}"),
    })?;
    if length != header.len() {
        return Err(format!("PROXY protocol header ends after {length} of {} bytes", header.len()));
    }
    if info.transport.is_some_and(|transport| transport.protocol != TransportProtocol::Stream) {
        return Err("PROXY protocol header describes a datagram instead of a connection".to_owned());
    }
    Ok(info.source.and_then(|source| source.as_inet()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROXY: u8 = 0x21;
    const LOCAL: u8 = 0x20;
    const TCP4: u8 = 0x11;
    const TCP6: u8 = 0x21;
    const V4: [u8; 12] = [192, 0, 2, 7, 10, 0, 0, 1, 0x30, 0x39, 0xc3, 0x83];

    fn v2(command: u8, family: u8, payload: &[u8]) -> Vec<u8> {
        let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
        [&V2_SIGNATURE[..], &[command, family], &length, payload].concat()
    }

    async fn read_all(mut bytes: &[u8]) -> (Result<Option<SocketAddr>, String>, usize) {
        let read = read(&mut bytes).await;
        (read, bytes.len())
    }

    #[tokio::test]
    async fn the_source_is_read_and_nothing_behind_the_header() {
        let v6 =
            [&[0x20, 1, 0xd, 0xb8][..], &[0; 11], &[9], &[0; 16], &[0x30, 0x39, 1, 0xbb]].concat();
        let extension = [&V4[..], &[0x04, 0, 3, 1, 2, 3]].concat();
        for (header, expected) in [
            (v2(PROXY, TCP4, &V4), Some("192.0.2.7:12345")),
            (v2(PROXY, TCP4, &extension), Some("192.0.2.7:12345")),
            (v2(PROXY, TCP6, &v6), Some("[2001:db8::9]:12345")),
            (b"PROXY TCP4 192.0.2.7 10.0.0.1 12345 50051\r\n".to_vec(), Some("192.0.2.7:12345")),
            (b"PROXY TCP6 2001:db8::9 ::1 12345 50051\r\n".to_vec(), Some("[2001:db8::9]:12345")),
            (b"PROXY UNKNOWN\r\n".to_vec(), None),
            (v2(LOCAL, 0, &[]), None),
            (v2(LOCAL, TCP4, &V4), None),
            (v2(PROXY, 0x31, &[b'/'; 216]), None),
        ] {
            let expected = expected.map(|address| address.parse().unwrap());
            let whole = [&header[..], b"PRI * HTTP/2.0"].concat();
            assert_eq!(read_all(&whole).await, (Ok(expected), 14), "{header:?}");
        }
    }

    #[tokio::test]
    async fn what_is_no_usable_header_is_refused_with_the_reason() {
        for (bytes, reason) in [
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), "no PROXY protocol header received"),
            (v2(PROXY, TCP4, &V4)[..20].to_vec(), "no complete PROXY protocol header received"),
            (b"\r\n\r\n".to_vec(), "no complete PROXY protocol header received"),
            (v2(PROXY, TCP4, &V4[..8]), "invalid"),
            (v2(PROXY, TCP4, &[&V4[..], &[0x04, 0, 9, 1]].concat()), "invalid"),
            (v2(PROXY, 0, &[]), "invalid"),
            (v2(PROXY, 0x51, &V4), "invalid"),
            (v2(PROXY, 0x31, &[0; 100]), "invalid"),
            (v2(0x2f, TCP4, &V4), "invalid"),
            (v2(0x11, TCP4, &V4), "invalid"),
            (v2(PROXY, 0x12, &V4), "describes a datagram"),
            (v2(PROXY, TCP4, &[0; 5_000]), "has 5016 bytes; the limit is 4096"),
            (v2(PROXY, TCP4, &[&V4[..], &[0x03, 0, 4, 1, 2, 3, 4]].concat()), "CRC32c mismatch"),
            ([b"PROXY TCP4 ".to_vec(), vec![b'1'; 200]].concat(), "PROXY protocol"),
            (b"PROXY TCP4 192.0.2.7\n".to_vec(), "PROXY protocol"),
            (b"PROXY TCP4 nonsense 10.0.0.1 1 2\r\n".to_vec(), "invalid"),
        ] {
            let (read, _) = read_all(&bytes).await;
            let message = read.unwrap_err();
            assert!(message.contains(reason), "got {message:?}, expected {reason:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_header_that_comes_too_slowly_is_given_up() {
        let (mut stream, mut proxy) = tokio::io::duplex(64);
        tokio::spawn(async move {
            for byte in v2(PROXY, TCP4, &V4) {
                tokio::io::AsyncWriteExt::write_u8(&mut proxy, byte).await.unwrap();
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
        assert!(read(&mut stream).await.unwrap_err().contains("within 5s"));
    }

    #[tokio::test]
    async fn no_bytes_make_it_panic_or_read_without_end() {
        let mut state = 7_u64;
        for length in 0..5_000_usize {
            let begins: &[u8] = [&V2_SIGNATURE[..], LINE_BEGINS, &[]][length % 3];
            let mut bytes = begins.to_vec();
            bytes.resize_with(length % 300, || {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                (state >> 33).to_le_bytes()[0]
            });
            let _ = read_all(&bytes).await;
        }
    }

    #[test]
    fn proxies_are_addresses_and_networks() {
        let proxies =
            Proxies::new(&["10.1.0.0/16".parse().unwrap(), "2001:db8::/64".parse().unwrap()]);
        for (address, trusted) in [
            ("10.1.255.1", true),
            ("::ffff:10.1.0.1", true),
            ("10.2.0.1", false),
            ("2001:db8::7", true),
            ("2001:db8:0:1::7", false),
        ] {
            assert_eq!(proxies.contain(address.parse().unwrap()), trusted, "{address}");
        }
        assert!(!Proxies::new(&[]).contain("127.0.0.1".parse().unwrap()));
    }
}
