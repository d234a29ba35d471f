//! What many connections of one process have in common: one configuration of TLS, with sessions to resume, and one resolver, with its cache.

use std::cell::RefCell;
use std::io;
use std::net::IpAddr;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use hickory_resolver::TokioResolver;
use tokio::net::TcpStream;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::client::Resumption;

use super::ConnectError;
use super::MAX_ADDRESSES;
use super::services::Services;
use super::transport::client_config;
use crate::config::Server;

/// Makes connections.
#[derive(Debug)]
pub(crate) struct Connector {
    pub(crate) tls: Arc<ClientConfig>,
    /// The resolver, and since when: what the system's configuration says may change.
    resolver: RefCell<Option<(Instant, TokioResolver)>>,
}

impl Connector {
    /// For servers whose certificate comes from one of the roots.
    pub(crate) fn new(roots: &Arc<RootCertStore>) -> io::Result<Self> {
        let tls = client_config(roots, Resumption::in_memory_sessions(RESUMED_SERVERS))?;
        Ok(Self { tls, resolver: RefCell::new(None) })
    }

    /// Connects to the first address of a host that answers, without TLS: the first bytes decide on that (RFC 6120 §5).
    pub(crate) async fn tcp(&self, server: &Server) -> Result<TcpStream, ConnectError> {
        let mut last = ConnectError::NoAddress;
        for address in self.addresses(&server.host).await?.into_iter().take(MAX_ADDRESSES) {
            match super::tcp(SocketAddr::new(address, server.port)).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// The addresses of a host, in the order in which they are to be tried.
    pub(crate) async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, ConnectError> {
        if let Ok(address) = host.parse() {
            return Ok(vec![address]);
        }
        super::resolved(&self.resolver()?, host).await
    }

    /// Where a service of a domain is to be had.
    pub(crate) async fn services(&self, service: &str, domain: &str) -> Services {
        match self.resolver() {
            Ok(resolver) => super::services(&resolver, service, domain).await,
            Err(_) => Services::Unknown,
        }
    }

    fn resolver(&self) -> Result<TokioResolver, ConnectError> {
        let now = Instant::now();
        let mut kept = self.resolver.borrow_mut();
        if let Some((since, resolver)) = &*kept
            && now.saturating_duration_since(*since) < RESOLVER
        {
            return Ok(resolver.clone());
        }
        let resolver = super::resolver().map_err(ConnectError::Name)?;
        *kept = Some((now, resolver.clone()));
        Ok(resolver)
    }
}

/// Servers of which tickets to resume a session are kept, a few of each.
const RESUMED_SERVERS: usize = 64;

/// How long a resolver is used before the system's configuration is read again.
const RESOLVER: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_resolver_is_used_by_all() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build().unwrap();
        runtime.block_on(async {
            let connector = Connector::new(&Arc::new(RootCertStore::empty())).unwrap();
            assert!(!connector.addresses("localhost").await.unwrap().is_empty());
            let since = || connector.resolver.borrow().as_ref().map(|(since, _)| *since);
            let first = since();
            assert!(first.is_some());
            connector.addresses("localhost").await.unwrap();
            assert_eq!(since(), first);
        });
    }
}
