//! Connections to other executors, kept for reuse by shuffle reads.
//!
//! Without a pool every read of another executor's partition opens a connection of its own, and a wide shuffle runs
//! out of ports. Ballista's pool is not public, so this is ours, kept small: a list of idle connections an address,
//! the youngest used first, and those that lay idle for too long dropped whenever one is taken. HTTP/2 would let one
//! connection carry all reads; a list is kept instead because one TCP stream's flow control would serialise them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use ballista_core::client::BallistaClient;
use ballista_core::client_pool::{BallistaClientPool, PooledClient};
use ballista_core::error::Result;
use ballista_core::extension::BallistaConfigGrpcEndpoint;
use ballista_core::utils::GrpcClientConfig;
use parking_lot::Mutex;

/// How long a connection may lie idle. Stages of one job follow each other faster.
const IDLE: Duration = Duration::from_secs(30);

type Key = (String, u16, GrpcClientConfig);
type Idle = HashMap<Key, Vec<(Instant, BallistaClient)>>;

/// Idle connections by address.
#[derive(Default)]
pub(crate) struct ConnectionPool {
    idle: Arc<Mutex<Idle>>,
}

impl std::fmt::Debug for ConnectionPool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConnectionPool").field("addresses", &self.idle.lock().len()).finish()
    }
}

#[async_trait]
impl BallistaClientPool for ConnectionPool {
    async fn acquire(
        &self,
        host: &str,
        port: u16,
        config: &GrpcClientConfig,
        customize: Option<Arc<BallistaConfigGrpcEndpoint>>,
    ) -> Result<PooledClient> {
        self.evict_idle().await;
        let key: Key = (host.to_owned(), port, config.clone());
        let reused = self.idle.lock().get_mut(&key).and_then(Vec::pop);
        let client = match reused {
            Some((_, client)) => client,
            None => {
                BallistaClient::try_new(
                    host,
                    port,
                    config.max_message_size,
                    config.use_tls,
                    customize,
                    config.io_retries_times,
                    config.io_retry_wait_time_ms,
                    config.initial_connection_window_size,
                    config.initial_stream_window_size,
                )
                .await?
            }
        };
        let idle = Arc::clone(&self.idle);
        let give_back = move |client| idle.lock().entry(key).or_default().push((Instant::now(), client));
        Ok(PooledClient::new(client, Box::new(give_back)))
    }

    async fn evict_idle(&self) {
        let mut idle = self.idle.lock();
        for connections in idle.values_mut() {
            connections.retain(|(since, _)| since.elapsed() < IDLE);
        }
        idle.retain(|_, connections| !connections.is_empty());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_returned_connection_is_used_again() {
        let pool = ConnectionPool::default();
        let config = GrpcClientConfig::default();
        // Connects lazily, so no server is needed.
        let key = ("127.0.0.1".to_owned(), 1, config.clone());
        let client = BallistaClient::new_for_test("127.0.0.1", 1);
        pool.idle.lock().entry(key).or_default().push((Instant::now(), client));

        let taken = pool.acquire("127.0.0.1", 1, &config, None).await.unwrap();
        assert!(pool.idle.lock().values().all(Vec::is_empty));
        drop(taken);
        assert_eq!(pool.idle.lock().values().map(Vec::len).sum::<usize>(), 1);

        // Nobody listens at another address, and the idle connection is not mistaken for it.
        assert!(pool.acquire("127.0.0.1", 2, &config, None).await.is_err());
    }
}
