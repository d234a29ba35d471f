//! The network of the XMPP process: names, and TCP connections.
//!
//! Names are resolved in this thread (hickory-resolver): the usual resolver of the C library would need threads, and the signal
//! handlers of the host may then run on them.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::net::SocketAddr;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::net::NetError;
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long one address may take to answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long bytes of ours may stay without the peer's acknowledgement. Without it the kernel takes a quarter of an hour to find that a
/// machine is gone, and all that is written meanwhile is lost.
const SILENCE: Duration = Duration::from_secs(30);

/// Addresses of one name that are tried.
const MAX_ADDRESSES: usize = 8;

/// Why there is no connection.
#[derive(Debug)]
pub enum ConnectError {
    /// The name did not resolve: the operator's DNS or `xmpp_host`.
    Name(NetError),
    /// It resolved to nothing.
    NoAddress,
    /// The last address tried did not take the connection.
    Connect(SocketAddr, io::Error),
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(error) => write!(f, "its name does not resolve: {error}"),
            Self::NoAddress => f.write_str("its name has no address"),
            Self::Connect(address, error) => write!(f, "{address} does not take the connection: {error}"),
        }
    }
}

impl std::error::Error for ConnectError {}

/// Connects to the first address of `host` that answers. IPv4 and IPv6 addresses need no resolver.
pub async fn connect(host: &str, port: u16) -> Result<TcpStream, ConnectError> {
    let mut last = ConnectError::NoAddress;
    for address in addresses(host).await?.into_iter().take(MAX_ADDRESSES) {
        let address = SocketAddr::new(address, port);
        match timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // Stanzas are written in batches of our own: the kernel need not wait for more.
                let _ = stream.set_nodelay(true);
                let _ = SockRef::from(&stream).set_tcp_user_timeout(Some(SILENCE));
                return Ok(stream);
            }
            Ok(Err(error)) => last = ConnectError::Connect(address, error),
            Err(_) => last = ConnectError::Connect(address, io::ErrorKind::TimedOut.into()),
        }
    }
    Err(last)
}

async fn addresses(host: &str) -> Result<Vec<IpAddr>, ConnectError> {
    if let Ok(address) = host.parse() {
        return Ok(vec![address]);
    }
    let resolver = TokioResolver::builder_tokio().and_then(|builder| builder.build()).map_err(ConnectError::Name)?;
    Ok(resolver.lookup_ip(host).await.map_err(ConnectError::Name)?.iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_gives_a_silent_peer_up_in_time() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build().unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let stream = runtime.block_on(connect("127.0.0.1", port)).unwrap();
        assert_eq!(SockRef::from(&stream).tcp_user_timeout().unwrap(), Some(SILENCE));
    }
}
