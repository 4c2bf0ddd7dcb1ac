//! A port on which connections are taken, each by a thread of its own.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// It ends when it is dropped.
pub(crate) struct Accepting {
    address: SocketAddr,
    over: Arc<AtomicBool>,
}

impl Accepting {
    /// Takes a free port, and hands every connection over.
    ///
    /// # Panics
    /// When there is no port to listen on.
    pub(crate) fn start(serve: impl Fn(TcpStream) -> std::io::Result<()> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let accepting = Self { address: listener.local_addr().unwrap(), over: Arc::default() };
        let (serve, over) = (Arc::new(serve), Arc::clone(&accepting.over));
        std::thread::spawn(move || {
            for client in listener.incoming() {
                if over.load(Ordering::SeqCst) {
                    return;
                }
                let (serve, client) = (Arc::clone(&serve), client.unwrap());
                // Whoever hangs up in the middle has his reasons.
                std::thread::spawn(move || serve(client).ok());
            }
        });
        accepting
    }

    /// Its address.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Accepting {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        let _woken = TcpStream::connect(self.address);
    }
}
