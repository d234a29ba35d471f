//! The network of the XMPP process: names, TCP connections, and TLS over them.
//!
//! Names are resolved in this thread (hickory-resolver): the usual resolver of the C library would need threads, and the signal
//! handlers of the host may then run on them.

pub(crate) mod connector;
pub mod http;
pub(crate) mod services;
pub(crate) mod transport;

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::net::SocketAddr;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::LookupIpStrategy;
use hickory_resolver::net::NetError;
use hickory_resolver::proto::rr::RData;
use socket2::SockRef;
use socket2::TcpKeepalive;
use tokio::net::TcpStream;
use tokio::time::error::Elapsed;
use tokio::time::timeout;
use tokio_rustls::rustls;

use crate::config::Server;
use crate::config::Tls;
use services::Service;
use services::Services;
use transport::Transport;

/// How long one address may take to answer, and after that to agree on TLS.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long bytes of ours may stay without the peer's acknowledgement. Without it the kernel takes a quarter of an hour to find that a
/// machine is gone, and all that is written meanwhile is lost.
const SILENCE: Duration = Duration::from_secs(30);

/// Where nothing is written, the kernel asks after this time, and then this often, whether the machine is still there.
const KEEPALIVE_TIME: Duration = Duration::from_secs(30);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_PROBES: u32 = 3;

/// Addresses of one name that are tried.
pub(crate) const MAX_ADDRESSES: usize = 8;

/// Why there is no connection.
#[derive(Debug)]
pub enum ConnectError {
    /// The name did not resolve: the operator's DNS or `xmpp_host`.
    Name(NetError),
    /// It resolved to nothing.
    NoAddress,
    /// The last address tried did not take the connection.
    Connect(SocketAddr, io::Error),
    /// It did, and then did not agree on TLS, or has a certificate that is not to be trusted.
    Tls(SocketAddr, io::Error),
}

impl ConnectError {
    /// Whether the server has shown a certificate that does not prove who it is: no later try will do better.
    pub fn is_about_the_certificate(&self) -> bool {
        let Self::Tls(_, error) = self else { return false };
        let error = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
        matches!(error, Some(rustls::Error::InvalidCertificate(_)))
    }

    /// Whether this process has as many files open as it may: no server is to blame.
    pub fn is_out_of_files(&self) -> bool {
        let error = match self {
            Self::Connect(_, error) => error,
            Self::Name(NetError::Io(error)) => error,
            Self::Name(_) | Self::NoAddress | Self::Tls(..) => return false,
        };
        matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(error) => write!(f, "its name does not resolve: {error}"),
            Self::NoAddress => f.write_str("its name has no address"),
            Self::Connect(address, error) => write!(f, "{address} does not take the connection: {error}"),
            Self::Tls(address, error) => write!(f, "no TLS with {address}: {error}"),
        }
    }
}

impl std::error::Error for ConnectError {}

/// Connects to the first address of `server` that answers. IPv4 and IPv6 addresses need no resolver. With TLS its certificate has to
/// be one for `name`.
pub async fn connect(server: &Server, tls: &Tls, name: &str) -> Result<Transport, ConnectError> {
    let mut last = ConnectError::NoAddress;
    for address in addresses(&server.host).await?.into_iter().take(MAX_ADDRESSES) {
        match connect_to(SocketAddr::new(address, server.port), tls, name).await {
            Ok(transport) => return Ok(transport),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn connect_to(address: SocketAddr, tls: &Tls, name: &str) -> Result<Transport, ConnectError> {
    let stream = tcp(address).await?;
    match tls {
        Tls::Off => Ok(Transport::plain(stream)),
        Tls::On(roots) => {
            let agreed = timeout(CONNECT_TIMEOUT, Transport::encrypted(stream, roots, name)).await;
            agreed.map_err(late).flatten().map_err(|error| ConnectError::Tls(address, error))
        }
    }
}

/// A TCP connection that finds by itself that its peer is gone.
async fn tcp(address: SocketAddr) -> Result<TcpStream, ConnectError> {
    let connected = timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await;
    let stream = connected.map_err(late).flatten().map_err(|error| ConnectError::Connect(address, error))?;
    // Stanzas are written in batches of our own: the kernel need not wait for more.
    let _ = stream.set_nodelay(true);
    let socket = SockRef::from(&stream);
    let _ = socket.set_tcp_user_timeout(Some(SILENCE));
    let keepalive =
        TcpKeepalive::new().with_time(KEEPALIVE_TIME).with_interval(KEEPALIVE_INTERVAL).with_retries(KEEPALIVE_PROBES);
    let _ = socket.set_tcp_keepalive(&keepalive);
    Ok(stream)
}

fn late(_: Elapsed) -> io::Error {
    io::ErrorKind::TimedOut.into()
}

/// Where a service of a domain is to be had.
async fn services(resolver: &TokioResolver, service: &str, domain: &str) -> Services {
    let Ok(found) = resolver.srv_lookup(format!("{service}.{domain}.")).await else { return Services::Unknown };
    let mut records = Vec::new();
    for record in found.answers() {
        if let RData::SRV(srv) = &record.data {
            let host = srv.target.to_ascii().trim_end_matches('.').to_owned();
            records.push(Service { priority: srv.priority, weight: srv.weight, server: Server { host, port: srv.port } });
        }
    }
    Services::of(records)
}

fn resolver() -> Result<TokioResolver, NetError> {
    let mut builder = TokioResolver::builder_tokio()?;
    builder.options_mut().ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    builder.build()
}

/// Those of IPv6 first, as RFC 6724 has it.
async fn addresses(host: &str) -> Result<Vec<IpAddr>, ConnectError> {
    if let Ok(address) = host.parse() {
        return Ok(vec![address]);
    }
    let resolver = resolver().map_err(ConnectError::Name)?;
    resolved(&resolver, host).await
}

async fn resolved(resolver: &TokioResolver, host: &str) -> Result<Vec<IpAddr>, ConnectError> {
    let mut found: Vec<IpAddr> = resolver.lookup_ip(host).await.map_err(ConnectError::Name)?.iter().collect();
    found.sort_by_key(IpAddr::is_ipv4);
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_resolver::proto::rr::Name;

    #[test]
    fn services_are_asked_for_under_the_name_that_dns_has() {
        let name = Name::from_utf8("_xmpp-client._tcp.münchen.example.").unwrap();
        assert_eq!(name.to_ascii(), "_xmpp-client._tcp.xn--mnchen-3ya.example.");
    }

    fn connected(host: &str, listener: &std::net::TcpListener) -> Transport {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build().unwrap();
        let server = Server { host: host.into(), port: listener.local_addr().unwrap().port() };
        runtime.block_on(connect(&server, &Tls::Off, host)).unwrap()
    }

    #[test]
    fn the_kernel_gives_a_silent_peer_up_in_time() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let transport = connected("127.0.0.1", &listener);
        let socket = SockRef::from(transport.socket());
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(SILENCE));
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), KEEPALIVE_TIME);
        assert_eq!(socket.tcp_keepalive_interval().unwrap(), KEEPALIVE_INTERVAL);
        assert_eq!(socket.tcp_keepalive_retries().unwrap(), KEEPALIVE_PROBES);
    }

    #[test]
    fn both_families_of_a_name_are_tried() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            match std::net::TcpListener::bind(address) {
                Ok(listener) => {
                    let peer = connected("localhost", &listener).socket().peer_addr().unwrap();
                    assert_eq!(peer, listener.local_addr().unwrap());
                }
                Err(error) => eprintln!("skipped: {address}: {error}"),
            }
        }
    }
}
