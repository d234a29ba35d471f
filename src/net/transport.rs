//! The bytes of one connection, encrypted or not. Nothing here waits but the TLS handshake, which the connecting task runs.
//!
//! rustls is driven by hand: the main loop tries to read and to write and does something else when neither can go on, and a TCP stream
//! without TLS costs what it would cost alone.

use std::io;
use std::io::Read;
use std::io::Write;
use std::net::IpAddr;
use std::sync::Arc;
use std::task::Context;
use std::task::Poll;

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::ClientConnection;
use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::ServerName;

/// Reads of the socket in one call: a peer that sends TLS records without content must not keep us.
const READS: usize = 16;

/// A TCP connection, with TLS or without.
#[derive(Debug)]
pub struct Transport {
    stream: TcpStream,
    tls: Option<Box<ClientConnection>>,
}

/// Whether there are bytes to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Writing {
    /// There are: wait for room as well.
    Wanted,
    /// There are none.
    Idle,
}

impl Transport {
    /// Without TLS.
    pub(super) fn plain(stream: TcpStream) -> Self {
        Self { stream, tls: None }
    }

    /// Agrees on TLS. The server's certificate has to come from one of the roots and to be one for `name`, a DNS name or an address.
    pub(super) async fn encrypted(stream: TcpStream, roots: &Arc<RootCertStore>, name: &str) -> io::Result<Self> {
        let name = server_name(name)?;
        // A connection lasts for days: there is nothing to resume.
        let (stream, tls) =
            TlsConnector::from(client_config(roots, Resumption::disabled())?).connect(name, stream).await?.into_inner();
        Ok(Self { stream, tls: Some(Box::new(tls)) })
    }

    /// Ready when reading, or writing if that is wanted, may go on.
    pub(crate) fn poll_ready(&self, context: &mut Context<'_>, writing: Writing) -> Poll<()> {
        let wanted = writing == Writing::Wanted || self.tls.as_ref().is_some_and(|tls| tls.wants_write());
        // An error here is met again, and told apart, by the read that follows.
        let readable = self.stream.poll_read_ready(context).is_ready();
        let writable = wanted && self.stream.poll_write_ready(context).is_ready();
        if readable || writable { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Until the kernel takes bytes again.
    pub(crate) async fn writable(&self) -> io::Result<()> {
        self.stream.writable().await
    }

    /// Reads what is there; `None` if there is nothing now. `Some(0)` is the end. A buffer of 32 KiB takes all that TLS can hold back.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        let Some(tls) = &mut self.tls else { return now(self.stream.try_read(buffer)) };
        for _ in 0..READS {
            match tls.reader().read(buffer) {
                Ok(count) => return Ok(Some(count)),
                // The end without the end of TLS: the stream's own end says whether something is missing.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(Some(0)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
            if now(tls.read_tls(&mut Socket(&self.stream)))?.is_none() {
                return Ok(None);
            }
            tls.process_new_packets().map_err(io::Error::other)?;
        }
        Ok(None)
    }

    /// Writes what is taken now; `None` if nothing is. What TLS has taken and the kernel not is written by [`Self::flush`].
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<Option<usize>> {
        if self.tls.is_none() {
            return now(self.stream.try_write(bytes));
        }
        // One call's worth at a time waits in TLS: what it holds is lost with the connection.
        if !self.flush()? {
            return Ok(None);
        }
        let count = self.tls.as_mut().map_or(Ok(0), |tls| tls.writer().write(bytes))?;
        self.flush()?;
        Ok(Some(count))
    }

    /// Writes what TLS holds, as far as the kernel takes it; whether that was all.
    pub(crate) fn flush(&mut self) -> io::Result<bool> {
        let Some(tls) = &mut self.tls else { return Ok(true) };
        while tls.wants_write() {
            if now(tls.write_tls(&mut Socket(&self.stream)))?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Says in TLS that nothing follows: so the server knows that nothing was cut off.
    pub(crate) fn end(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
        }
    }

    #[cfg(test)]
    pub(super) fn socket(&self) -> &TcpStream {
        &self.stream
    }
}

/// TLS 1.2 and 1.3, for servers whose certificate comes from one of the roots.
pub(super) fn client_config(roots: &Arc<RootCertStore>, resumption: Resumption) -> io::Result<Arc<ClientConfig>> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(Arc::clone(roots))
        .with_no_client_auth();
    config.resumption = resumption;
    Ok(Arc::new(config))
}

/// A certificate holds the name as DNS has it, with A-labels (RFC 6125 §6.4.2).
pub(crate) fn server_name(name: &str) -> io::Result<ServerName<'static>> {
    if let Ok(address) = name.parse::<IpAddr>() {
        return Ok(address.into());
    }
    let ascii = idna::domain_to_ascii(name).map_err(io::Error::other)?;
    ServerName::try_from(ascii).map_err(io::Error::other)
}

/// The socket as rustls takes it: reads and writes that return at once.
struct Socket<'a>(&'a TcpStream);

impl Read for Socket<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buffer)
    }
}

impl Write for Socket<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn now(done: io::Result<usize>) -> io::Result<Option<usize>> {
    match done {
        Ok(count) => Ok(Some(count)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_asked_for_the_name_as_dns_has_it() {
        for (name, asked) in [
            ("münchen.example", "xn--mnchen-3ya.example"),
            ("xmpp.example.net", "xmpp.example.net"),
            ("2001:db8::1", "2001:db8::1"),
        ] {
            assert_eq!(server_name(name).unwrap().to_str(), asked);
        }
    }
}
