//! Parsers for values of settings. Their errors continue the sentence "VARIABLE is FOUND: ".

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;
use std::time::Duration;

use proxy_protocol_rs::IpNet;

/// Parses a duration above zero, such as 500ms, 30s, 2m or 1h.
///
/// # Errors
/// The text is not a duration above zero. The message gives examples.
pub fn duration(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(duration) if duration > Duration::ZERO => Ok(duration),
        _ => Err("expected a duration such as 500ms, 30s, 2m or 1h".to_owned()),
    }
}

/// Parses a whole number of at least 1.
///
/// # Errors
/// The text is not such a number.
pub fn count(text: &str) -> Result<NonZeroUsize, String> {
    text.parse().map_err(|_| "expected a whole number, at least 1".to_owned())
}

/// Parses a number of bytes of at least 1.
///
/// # Errors
/// The text is not such a number.
pub fn bytes(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("expected a number of bytes, at least 1, such as 4194304".to_owned()),
        Ok(bytes) => Ok(bytes),
    }
}

/// Parses an IP address with a port.
///
/// # Errors
/// The text is not an address with a port. The message gives examples.
pub fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        "expected an IP address with a port, such as 127.0.0.1:50051 or [::]:50051".to_owned()
    })
}

/// Parses an IP address, or a network in CIDR notation.
///
/// # Errors
/// The text is neither of them. The message gives examples.
pub(super) fn network(text: &str) -> Result<IpNet, String> {
    let address = text.parse::<IpAddr>().map(|address| IpNet::from(address.to_canonical()));
    address.or_else(|_| text.parse()).map_err(|_| {
        "expected IP addresses and networks separated by commas, such as 10.0.0.7 or 10.1.0.0/16 \
         or 2001:db8::/64"
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_an_address_with_or_without_bits() {
        for (text, shown) in [
            ("10.0.0.7", "10.0.0.7/32"),
            ("::ffff:10.0.0.7", "10.0.0.7/32"),
            ("10.1.0.0/16", "10.1.0.0/16"),
            ("2001:db8::/64", "2001:db8::/64"),
        ] {
            assert_eq!(network(text).unwrap().to_string(), shown);
        }
        for wrong in ["", "10.0.0", "10.0.0.0/33", "haproxy", "10.0.0.7:80"] {
            assert!(
                network(wrong).unwrap_err().starts_with("expected IP addresses and networks"),
                "{wrong}"
            );
        }
    }
}
