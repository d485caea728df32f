//! Values as people write them. What is said of a wrong one goes on after "VARIABLE is FOUND: ".

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;
use std::time::Duration;

use proxy_protocol_rs::IpNet;

/// A duration above zero, such as 500ms, 30s, 2m or 1h.
///
/// # Errors
/// Says what is accepted.
pub fn duration(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(duration) if duration > Duration::ZERO => Ok(duration),
        _ => Err("a duration is accepted, such as 500ms, 30s, 2m or 1h".to_owned()),
    }
}

/// A whole number from 1 on.
///
/// # Errors
/// Says what is accepted.
pub fn count(text: &str) -> Result<NonZeroUsize, String> {
    text.parse().map_err(|_| "a whole number is accepted, from 1 on".to_owned())
}

/// A number of bytes, from 1 on.
///
/// # Errors
/// Says what is accepted.
pub fn bytes(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => {
            Err("a number of bytes is accepted, from 1 on, such as 4194304".to_owned())
        }
        Ok(bytes) => Ok(bytes),
    }
}

/// An IP address with a port.
///
/// # Errors
/// Says what is accepted.
pub fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        "an IP address with a port is accepted, such as 127.0.0.1:50051 or [::]:50051".to_owned()
    })
}

/// An IP address, or a network as an address and the number of its leading bits.
///
/// # Errors
/// Says what is accepted.
pub(super) fn network(text: &str) -> Result<IpNet, String> {
    let address = text.parse::<IpAddr>().map(|address| IpNet::from(address.to_canonical()));
    address.or_else(|_| text.parse()).map_err(|_| {
        "IP addresses and networks are accepted, separated by commas, such as 10.0.0.7 or 10.1.0.0/16 or 2001:db8::/64".to_owned()
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
                network(wrong).unwrap_err().starts_with("IP addresses and networks are accepted"),
                "{wrong}"
            );
        }
    }
}
