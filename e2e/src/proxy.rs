//! A way to the database that a test can cut and open again.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Passes connections on while it is open; cutting it breaks all of them and refuses new ones.
#[derive(Clone)]
pub struct Proxy {
    address: SocketAddr,
    open: Arc<watch::Sender<bool>>,
}

impl Proxy {
    /// In front of a postgres:// address.
    pub async fn start(url: &str, open: bool) -> Self {
        let options: sqlx::postgres::PgConnectOptions = url.parse().unwrap();
        let target = format!("{}:{}", options.get_host(), options.get_port());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, receiver) = watch::channel(open);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, target.clone(), receiver.clone()));
            }
        });
        Self { address, open: Arc::new(sender) }
    }

    /// The same database through this proxy.
    #[must_use]
    pub fn url(&self, url: &str) -> String {
        let options: sqlx::postgres::PgConnectOptions = url.parse().unwrap();
        let database = options.get_database().unwrap_or("postgres");
        format!("postgres://{}@{}/{database}", options.get_username(), self.address)
    }

    /// Opens the way, or cuts it.
    pub fn set_open(&self, open: bool) {
        self.open.send_replace(open);
    }
}

async fn pass(mut client: TcpStream, target: String, mut open: watch::Receiver<bool>) {
    if !*open.borrow() {
        return;
    }
    let Ok(mut server) = TcpStream::connect(target).await else { return };
    tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
        _ = open.wait_for(|open| !open) => {}
    }
}
