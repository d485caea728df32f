//! How calls are served, and to whom.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use proxy_protocol_rs::IpNet;

use super::quotas::QuotaConfig;
use super::tls::TlsConfig;
use super::values;

/// How calls are served, and to whom.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Serving")]
pub struct ServerConfig {
    /// Largest message taken, in bytes after decompression
    #[arg(long, env = "TIDEGAUGE_MAX_MESSAGE_BYTES", default_value = "4194304", value_name = "BYTES",
          value_parser = values::bytes)]
    pub max_message_bytes: usize,
    /// Most connections at once; one more is turned away
    #[arg(long, env = "TIDEGAUGE_MAX_CONNECTIONS", default_value = "1000", value_name = "NUMBER",
          value_parser = values::count)]
    pub max_connections: NonZeroUsize,
    /// Age at which a stream that has no end of its own (IngestWithAcks, WatchAnomalies) is ended with OK, so that load spreads
    /// over instances
    #[arg(long, env = "TIDEGAUGE_STREAM_MAX_AGE", default_value = "1h", value_name = "DURATION",
          value_parser = values::duration)]
    pub stream_max_age: Duration,
    /// How long calls under way may take to end after SIGTERM; must be shorter than what the supervisor waits before it kills
    #[arg(long, env = "TIDEGAUGE_SHUTDOWN_GRACE", default_value = "25s", value_name = "DURATION",
          value_parser = values::duration)]
    pub shutdown_grace: Duration,
    /// Proxies whose connections begin with a header of the PROXY protocol (version 2 or 1) that says whose they are: addresses
    /// and networks, separated by commas; a connection from there without a header is closed
    #[arg(long, env = "TIDEGAUGE_PROXY_PROTOCOL_FROM", value_name = "ADDRESS[/BITS],...", value_delimiter = ',',
          value_parser = values::network)]
    pub proxy_protocol_from: Vec<IpNet>,
    /// How much one client may take.
    #[command(flatten)]
    pub quotas: QuotaConfig,
    /// Whether calls are encrypted.
    #[command(flatten)]
    pub tls: TlsConfig,
    /// Who may call.
    #[command(flatten)]
    pub access: AccessConfig,
}

/// Who may call.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Access")]
pub struct AccessConfig {
    /// Identities, with the hashes of their keys and the names of their certificates (see the subcommand `keys`); with it, no
    /// call is served without one
    #[arg(long, env = "TIDEGAUGE_IDENTITIES_FILE", value_name = "FILE")]
    pub identities_file: Option<PathBuf>,
    /// How often the files of certificates and identities are read again; a change holds once it was seen twice
    #[arg(long, env = "TIDEGAUGE_RELOAD_INTERVAL", default_value = "5s", value_name = "DURATION",
          value_parser = values::duration)]
    pub reload_interval: Duration,
    /// Listen where others can reach it though TLS or authentication is off, because the network or a proxy sees to that
    #[arg(long, env = "TIDEGAUGE_INSECURE_LISTEN")]
    pub insecure_listen: bool,
}

impl ServerConfig {
    /// Checks that nobody gets in who should not: beyond loopback, TLS and authentication are needed, or the explicit word
    /// that they are not.
    ///
    /// # Errors
    /// Says what is missing.
    pub fn check_listen(&self, address: SocketAddr) -> Result<(), String> {
        let tls = (
            self.tls.certificate.is_none(),
            "TLS is off (set TIDEGAUGE_TLS_CERTIFICATE and TIDEGAUGE_TLS_KEY)",
        );
        let access = (
            self.access.identities_file.is_none(),
            "authentication is off (set TIDEGAUGE_IDENTITIES_FILE)",
        );
        let missing: Vec<_> = [tls, access]
            .into_iter()
            .filter_map(|(missing, what)| missing.then_some(what))
            .collect();
        if missing.is_empty() || address.ip().to_canonical().is_loopback() {
            return Ok(());
        }
        let missing = missing.join(" and ");
        if self.access.insecure_listen {
            tracing::warn!(
                "listening on {address} although {missing}: TIDEGAUGE_INSECURE_LISTEN is set"
            );
            return Ok(());
        }
        Err(format!(
            "refusing to listen on {address}, where others can reach it: {missing}. Where the network or a proxy sees to \
             that, set TIDEGAUGE_INSECURE_LISTEN=true"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::defaults;

    fn check(address: &str, arguments: &[&str]) -> Result<(), String> {
        defaults::<ServerConfig>(arguments).unwrap().check_listen(address.parse().unwrap())
    }

    #[test]
    fn without_tls_or_authentication_only_loopback_is_listened_on() {
        for loopback in ["127.0.0.1:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
            assert_eq!(check(loopback, &[]), Ok(()));
        }
        let (tls, access) = (["--tls-certificate=c", "--tls-key=k"], ["--identities-file=i"]);
        for exposed in ["0.0.0.0:1", "[::]:1", "192.0.2.1:1"] {
            let told = check(exposed, &[]).unwrap_err();
            assert!(
                told.contains("TLS is off") && told.contains("authentication is off"),
                "{told}"
            );
            assert!(told.contains("TIDEGAUGE_INSECURE_LISTEN=true"), "{told}");
            assert!(!check(exposed, &tls).unwrap_err().contains("TLS is off"));
            assert!(!check(exposed, &access).unwrap_err().contains("authentication is off"));
            assert_eq!(check(exposed, &[&tls[..], &access].concat()), Ok(()));
            assert_eq!(check(exposed, &["--insecure-listen"]), Ok(()));
        }
    }
}
