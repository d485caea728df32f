//! Configuration of serving and access.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use proxy_protocol_rs::IpNet;

use super::quotas::QuotaConfig;
use super::tls::TlsConfig;
use super::values;

/// Settings for serving calls.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Serving")]
pub struct ServerConfig {
    /// Maximum size of a message in bytes, after decompression
    #[arg(
        long,
        env = "TIDEGAUGE_MAX_MESSAGE_BYTES",
        default_value = "4194304",
        value_name = "BYTES",
        value_parser = values::bytes
    )]
    pub max_message_bytes: usize,
    /// Maximum number of open connections; further connections are refused
    #[arg(long, env = "TIDEGAUGE_MAX_CONNECTIONS", default_value = "1000", value_name = "NUMBER",
          value_parser = values::count)]
    pub max_connections: NonZeroUsize,
    /// Maximum age of a stream without an end of its own (IngestWithAcks, WatchAnomalies); it then
    /// ends with OK, so that load spreads over instances
    #[arg(long, env = "TIDEGAUGE_STREAM_MAX_AGE", default_value = "1h", value_name = "DURATION",
          value_parser = values::duration)]
    pub stream_max_age: Duration,
    /// Time for running calls to finish after SIGTERM; must be shorter than the supervisor's own
    /// timeout before SIGKILL
    #[arg(long, env = "TIDEGAUGE_SHUTDOWN_GRACE", default_value = "25s", value_name = "DURATION",
          value_parser = values::duration)]
    pub shutdown_grace: Duration,
    /// Addresses and networks of proxies, separated by commas, whose connections must begin with a
    /// PROXY protocol header (version 1 or 2) with the client's address; connections from them
    /// without a header are closed
    #[arg(
        long,
        env = "TIDEGAUGE_PROXY_PROTOCOL_FROM",
        value_name = "ADDRESS[/BITS],...",
        value_delimiter = ',',
        value_parser = values::network
    )]
    pub proxy_protocol_from: Vec<IpNet>,
    /// Limits of clients.
    #[command(flatten)]
    pub quotas: QuotaConfig,
    /// Encryption of calls.
    #[command(flatten)]
    pub tls: TlsConfig,
    /// Authentication of callers.
    #[command(flatten)]
    pub access: AccessConfig,
}

/// Settings for authentication and access.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Access")]
pub struct AccessConfig {
    /// File with the identities that may call, their key hashes and certificate names (see the
    /// subcommand `keys`); not set: authentication is off
    #[arg(long, env = "TIDEGAUGE_IDENTITIES_FILE", value_name = "FILE")]
    pub identities_file: Option<PathBuf>,
    /// Interval for rereading certificates and identities; a change takes effect once two reads in
    /// a row agree
    #[arg(long, env = "TIDEGAUGE_RELOAD_INTERVAL", default_value = "5s", value_name = "DURATION",
          value_parser = values::duration)]
    pub reload_interval: Duration,
    /// Allow listening beyond loopback without TLS or authentication, for example because a proxy
    /// provides both
    #[arg(long, env = "TIDEGAUGE_INSECURE_LISTEN")]
    pub insecure_listen: bool,
}

impl ServerConfig {
    /// Checks that the service is not exposed by accident: beyond loopback, it needs TLS and
    /// authentication, or an explicit setting to do without.
    ///
    /// # Errors
    /// TLS or authentication is missing. The message names the variables to set.
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
            "refusing to listen on {address}, where others can reach it: {missing}. If the \
             network or a proxy provides the protection, set TIDEGAUGE_INSECURE_LISTEN=true"
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
        let tls = ["--tls-certificate=c", "--tls-key=k"];
        let access = ["--identities-file=i"];
        for exposed in ["0.0.0.0:1", "[::]:1", "192.0.2.1:1"] {
            let message = check(exposed, &[]).unwrap_err();
            assert!(
                message.contains("TLS is off") && message.contains("authentication is off"),
                "{message}"
            );
            assert!(message.contains("TIDEGAUGE_INSECURE_LISTEN=true"), "{message}");
            assert!(!check(exposed, &tls).unwrap_err().contains("TLS is off"));
            assert!(!check(exposed, &access).unwrap_err().contains("authentication is off"));
            assert_eq!(check(exposed, &[&tls[..], &access].concat()), Ok(()));
            assert_eq!(check(exposed, &["--insecure-listen"]), Ok(()));
        }
    }
}
