//! How much one client may take of a service, and all of them together.

use std::num::NonZeroUsize;
use std::time::Duration;

use clap::Args;

use super::values;

/// How much one client may take. A client is an identity or, without identities, an address (of IPv6 its first 64 bits).
/// Where several send through one address, such as a proxy's, they count as one.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Limits of one client")]
pub struct QuotaConfig {
    /// Most connections from one address; one more is turned away
    #[arg(long, env = "TIDEGAUGE_CLIENT_MAX_CONNECTIONS", default_value = "500", value_name = "NUMBER",
          value_parser = values::count)]
    pub client_max_connections: NonZeroUsize,
    /// Most calls that one client has open, streams among them
    #[arg(long, env = "TIDEGAUGE_CLIENT_MAX_CALLS", default_value = "2000", value_name = "NUMBER",
          value_parser = values::count)]
    pub client_max_calls: NonZeroUsize,
    /// Most messages of one client a second, a second's worth at once; a unary call beyond it is refused, a stream is held back
    #[arg(long, env = "TIDEGAUGE_CLIENT_MESSAGES_PER_SECOND", value_name = "MESSAGES", value_parser = values::count)]
    pub client_messages_per_second: Option<NonZeroUsize>,
    /// Most points sent, or rows asked for in streams, by one client a second; likewise
    #[arg(long, env = "TIDEGAUGE_CLIENT_POINTS_PER_SECOND", value_name = "POINTS", value_parser = values::count)]
    pub client_points_per_second: Option<NonZeroUsize>,
    /// Most bytes of one client's messages, as they are sent, that are not settled yet; likewise
    #[arg(long, env = "TIDEGAUGE_CLIENT_MAX_BYTES_IN_FLIGHT", default_value = "67108864", value_name = "BYTES",
          value_parser = values::count)]
    pub client_max_bytes_in_flight: NonZeroUsize,
    /// The same for all clients together
    #[arg(long, env = "TIDEGAUGE_MAX_BYTES_IN_FLIGHT", default_value = "268435456", value_name = "BYTES",
          value_parser = values::count)]
    pub max_bytes_in_flight: NonZeroUsize,
    /// Longest time that a call waits for its next message, or for the rest of one
    #[arg(long, env = "TIDEGAUGE_MESSAGE_TIMEOUT", default_value = "10m", value_name = "DURATION",
          value_parser = values::duration)]
    pub message_timeout: Duration,
}
