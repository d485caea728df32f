//! A real HAProxy in front of a service. It names the client's address on each connection.

use std::net::{SocketAddr, TcpListener};
use std::process::Stdio;

use e2e::until;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::service::PROXY;

/// A running HAProxy, killed on drop.
pub(crate) struct HaProxy {
    pub(crate) address: SocketAddr,
    _process: Child,
    _folder: TempDir,
}

impl HaProxy {
    /// Starts HAProxy in front of an address. It passes bytes on, so TLS ends at the service.
    pub(crate) async fn start(service: SocketAddr) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let config = format!(
            "defaults\n  mode tcp\n  \
             timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n\
             listen ingest\n  bind {address}\n  \
             server service {service} source {PROXY} send-proxy-v2\n"
        );
        let file = folder.path().join("haproxy.cfg");
        std::fs::write(&file, config).unwrap();
        let process = Command::new("haproxy")
            .arg("-db")
            .arg("-f")
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("HAProxy is not installed; on Debian: apt-get install haproxy");
        until("HAProxy listens", async || TcpStream::connect(address).await.ok()).await;
        Self { address, _process: process, _folder: folder }
    }
}
