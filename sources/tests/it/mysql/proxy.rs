//! A wire between client and server that breaks when it is told to.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Break {
    /// The connection is closed.
    Cut,
    /// Nothing comes any more.
    Silence,
}

pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    connections: AtomicUsize,
    breaks: AtomicUsize,
    after_bytes: AtomicU64,
    what: Break,
}

impl Proxy {
    /// A wire whose connections break, so many of them, after they have brought so many bytes from the server.
    pub(crate) async fn start(listen: &str, what: Break, after_bytes: u64, times: usize) -> Self {
        let listener = TcpListener::bind((listen, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            connections: AtomicUsize::new(0),
            breaks: AtomicUsize::new(times),
            after_bytes: AtomicU64::new(after_bytes),
            what,
        });
        let state = Arc::clone(&shared);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                state.connections.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(carry(client, Arc::clone(&state)));
            }
        });
        Self { address, shared }
    }

    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// How many breaks have not happened yet.
    pub(crate) fn breaks_left(&self) -> usize {
        self.shared.breaks.load(Ordering::SeqCst)
    }

    /// The address of a server, reached by this wire.
    pub(crate) fn url(&self, url: &str) -> String {
        let mut url = url::Url::parse(url).unwrap();
        url.set_host(Some(&self.address.ip().to_string())).unwrap();
        url.set_port(Some(self.address.port())).unwrap();
        url.to_string()
    }
}

async fn carry(mut client: TcpStream, shared: Arc<Shared>) {
    let url = super::server_url();
    let mut server = TcpStream::connect((url.host_str().unwrap(), url.port().unwrap_or(3306))).await.unwrap();
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let up = tokio::io::copy(&mut from_client, &mut to_server);
    let down = async {
        let mut buffer = vec![0; 4_096];
        let mut carried = 0;
        loop {
            let count = from_server.read(&mut buffer).await.unwrap_or(0);
            if count == 0 {
                return;
            }
            carried += count as u64;
            let is_due = carried > shared.after_bytes.load(Ordering::SeqCst);
            let take = |left: usize| left.checked_sub(1);
            if is_due && shared.breaks.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).is_ok() {
                if shared.what == Break::Silence {
                    std::future::pending::<()>().await;
                }
                return;
            }
            if to_client.write_all(&buffer[..count]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! { _ = up => {}, () = down => {} }
}
