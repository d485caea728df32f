//! Values as people write them. What is said of a wrong one goes on after "VARIABLE is FOUND: ".

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::time::Duration;

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
        Ok(0) | Err(_) => Err("a number of bytes is accepted, from 1 on, such as 4194304".to_owned()),
        Ok(bytes) => Ok(bytes),
    }
}

/// An IP address with a port.
///
/// # Errors
/// Says what is accepted.
pub fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "an IP address with a port is accepted, such as 127.0.0.1:50051 or [::]:50051".to_owned())
}
