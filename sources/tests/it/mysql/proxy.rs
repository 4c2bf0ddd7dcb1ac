//! A wire between client and server that breaks when it is told to, or makes the server one with other settings.

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
    terms: Terms,
}

/// What a wire makes of its server.
#[derive(Debug, Default)]
pub(crate) struct Terms {
    /// Statements that are run in every session before its client has it.
    pub(crate) settings: Vec<String>,
    /// Texts that are replaced by others of their length on the way to the server, and on the way back.
    pub(crate) up: Vec<(String, String)>,
    pub(crate) down: Vec<(String, String)>,
    /// Whether it seems to have no TLS.
    pub(crate) is_plain: bool,
}

impl Proxy {
    /// A wire whose connections break, so many of them, after they have brought so many bytes from the server.
    pub(crate) async fn start(listen: &str, what: Break, after_bytes: u64, times: usize) -> Self {
        Self::listen(
            listen,
            Shared {
                connections: AtomicUsize::new(0),
                breaks: AtomicUsize::new(times),
                after_bytes: AtomicU64::new(after_bytes),
                what,
                terms: Terms::default(),
            },
        )
        .await
    }

    /// A wire to what seems to be another server.
    pub(crate) async fn on(terms: Terms) -> Self {
        Self::listen(
            "127.0.0.1",
            Shared {
                connections: AtomicUsize::new(0),
                breaks: AtomicUsize::new(0),
                after_bytes: AtomicU64::new(0),
                what: Break::Cut,
                terms,
            },
        )
        .await
    }

    /// A wire to a server with these settings of its own.
    pub(crate) async fn with_settings(settings: &[&str]) -> Self {
        let settings = settings.iter().map(|statement| (*statement).to_owned()).collect();
        Self::on(Terms { settings, ..Terms::default() }).await
    }

    async fn listen(address: &str, shared: Shared) -> Self {
        let listener = TcpListener::bind((address, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(shared);
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
    let terms = &shared.terms;
    let is_watched = terms.is_plain || !terms.settings.is_empty();
    if is_watched && log_in(&mut client, &mut server, terms).await.is_none() {
        return;
    }
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let up = async {
        let mut buffer = vec![0; 4_096];
        loop {
            let count = from_client.read(&mut buffer).await.unwrap_or(0);
            replace(&mut buffer[..count], &terms.up);
            if count == 0 || to_server.write_all(&buffer[..count]).await.is_err() {
                return;
            }
        }
    };
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
            replace(&mut buffer[..count], &terms.down);
            if to_client.write_all(&buffer[..count]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! { () = up => {}, () = down => {} }
}

fn replace(bytes: &mut [u8], replacements: &[(String, String)]) {
    for (from, to) in replacements {
        assert_eq!(from.len(), to.len());
        for at in 0..bytes.len().saturating_sub(from.len() - 1) {
            if bytes[at..].starts_with(from.as_bytes()) {
                bytes[at..at + from.len()].copy_from_slice(to.as_bytes());
            }
        }
    }
}

/// Lets the client log in without encryption, and runs statements before it hears that it has; none if it may not.
async fn log_in(client: &mut TcpStream, server: &mut TcpStream, terms: &Terms) -> Option<()> {
    let mut greeting = packet(server).await?;
    if terms.is_plain {
        hide_tls(&mut greeting);
    }
    client.write_all(&greeting).await.ok()?;
    server.write_all(&packet(client).await?).await.ok()?;
    loop {
        let answer = packet(server).await?;
        match &answer[4..] {
            [0, ..] => {
                for statement in &terms.settings {
                    run(server, statement).await?;
                }
                return client.write_all(&answer).await.ok();
            }
            // The next packet will say that all is well.
            [1, 3] => client.write_all(&answer).await.ok()?,
            _ => {
                client.write_all(&answer).await.ok()?;
                server.write_all(&packet(client).await?).await.ok()?;
            }
        }
    }
}

/// Takes away what a greeting says of TLS: a bit of what stands behind the protocol, the version, the number of the
/// connection and the first part of a nonce.
fn hide_tls(greeting: &mut [u8]) {
    let version_end = greeting.iter().skip(5).position(|byte| *byte == 0).unwrap() + 5;
    let capabilities = version_end + 1 + 4 + 8 + 1;
    greeting[capabilities + 1] &= !8;
}

async fn run(server: &mut TcpStream, statement: &str) -> Option<()> {
    let length = u32::try_from(statement.len() + 1).unwrap().to_le_bytes();
    let head = [length[0], length[1], length[2], 0, 3];
    server.write_all(&[&head, statement.as_bytes()].concat()).await.ok()?;
    let answer = packet(server).await?;
    assert_eq!(answer[4], 0, "{statement}: {}", String::from_utf8_lossy(&answer));
    Some(())
}

/// A packet with its head: three bytes of length and one of its number.
async fn packet(from: &mut TcpStream) -> Option<Vec<u8>> {
    let mut packet = vec![0; 4];
    from.read_exact(&mut packet).await.ok()?;
    let length = u32::from_le_bytes([packet[0], packet[1], packet[2], 0]);
    packet.resize(4 + length as usize, 0);
    from.read_exact(&mut packet[4..]).await.ok()?;
    Some(packet)
}
