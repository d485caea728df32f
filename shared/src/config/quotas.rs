//! Limits on the resources that clients may use.

use std::num::NonZeroUsize;
use std::time::Duration;

use clap::Args;

use super::values;

/// Limits of one client, and of all clients together.
///
/// A client is an identity or, without authentication, an IP address (of IPv6, its /64 network).
/// Clients behind one address, such as that of a proxy, count as one.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Limits of one client")]
pub struct QuotaConfig {
    /// Maximum number of connections per client address; further connections are refused
    #[arg(
        long,
        env = "TIDEGAUGE_CLIENT_MAX_CONNECTIONS",
        default_value = "500",
        value_name = "NUMBER",
        value_parser = values::count
    )]
    pub client_max_connections: NonZeroUsize,
    /// Maximum number of open calls per client, including streams
    #[arg(long, env = "TIDEGAUGE_CLIENT_MAX_CALLS", default_value = "2000", value_name = "NUMBER",
          value_parser = values::count)]
    pub client_max_calls: NonZeroUsize,
    /// Maximum rate of messages per client and second, with bursts of one second's worth; above it,
    /// unary calls are refused and streams are slowed down; not set: unlimited
    #[arg(
        long,
        env = "TIDEGAUGE_CLIENT_MESSAGES_PER_SECOND",
        value_name = "MESSAGES",
        value_parser = values::count
    )]
    pub client_messages_per_second: Option<NonZeroUsize>,
    /// Maximum rate of points written plus rows streamed per client and second, with bursts of one
    /// second's worth; above it, unary calls are refused and streams are slowed down; not set:
    /// unlimited
    #[arg(
        long,
        env = "TIDEGAUGE_CLIENT_POINTS_PER_SECOND",
        value_name = "POINTS",
        value_parser = values::count
    )]
    pub client_points_per_second: Option<NonZeroUsize>,
    /// Maximum size of one client's messages in flight, in bytes as sent, from receiving a message
    /// to finishing it; above it, unary calls are refused and streams are slowed down
    #[arg(
        long,
        env = "TIDEGAUGE_CLIENT_MAX_BYTES_IN_FLIGHT",
        default_value = "67108864",
        value_name = "BYTES",
        value_parser = values::count
    )]
    pub client_max_bytes_in_flight: NonZeroUsize,
    /// Maximum size of the messages of all clients in flight, in bytes as sent
    #[arg(
        long,
        env = "TIDEGAUGE_MAX_BYTES_IN_FLIGHT",
        default_value = "268435456",
        value_name = "BYTES",
        value_parser = values::count
    )]
    pub max_bytes_in_flight: NonZeroUsize,
    /// Maximum time to wait for a call's next message, or for the rest of one
    #[arg(long, env = "TIDEGAUGE_MESSAGE_TIMEOUT", default_value = "10m", value_name = "DURATION",
          value_parser = values::duration)]
    pub message_timeout: Duration,
}
