//! A session over a stream of its own (RFC 6120), for servers without BOSH.

use std::io;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::line::End;
use super::line::Line;
use super::line::Said;
use crate::config::Server;
use crate::net;
use crate::net::MAX_ADDRESSES;
use crate::net::connector::Connector;
use crate::net::services::Services;
use crate::net::services::ordered;
use crate::phone::session::Session;
use crate::phone::session::Step;
use crate::process::backoff::dice;
use crate::xml::XmlWriter;
use crate::xmpp::client::Security;
use crate::xmpp::framer::Framer;
use crate::xmpp::framer::StreamEvent;
use crate::xmpp::ns;
use crate::xmpp::stream_error::STREAM_END;

/// Logs in, and shows what is to be shown. `server` is a host with or without a port; without it DNS names one (RFC 6120 §3.2, XEP-0368).
pub(super) async fn run(line: &mut Line, server: Option<String>) -> End {
    let domain = line.account.jid.domain().to_string();
    let mut last = End::broken("DNS says that the domain has no server for clients");
    for (server, begins) in servers(&line.exchange.connector, server.as_deref(), &domain).await {
        match open(line, &server, begins).await {
            Ok(io) => {
                let security = match &io {
                    Io::Tls(_) => Security::Encrypted,
                    Io::Plain(_) | Io::Closed => Security::ToEncrypt,
                };
                let session = line.session(security);
                return OverTcp { line, io, domain, session, framer: Framer::default(), is_closing: false }.live().await;
            }
            Err(error) => last = error,
        }
    }
    last
}

/// How a connection begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Begins {
    /// With TLS (XEP-0368).
    WithTls,
    /// With a stream, that goes over to TLS.
    WithStream,
}

async fn servers(connector: &Connector, given: Option<&str>, domain: &str) -> Vec<(Server, Begins)> {
    if let Some(given) = given {
        return vec![(host_and_port(given), Begins::WithStream)];
    }
    let with_tls = connector.services("_xmpps-client._tcp", domain).await;
    let with_stream = connector.services("_xmpp-client._tcp", domain).await;
    known(with_tls, with_stream, domain, dice)
}

/// Those that DNS knows of, both kinds by priority and weight as if they were one (XEP-0368 §3); none, if it says that there is none.
fn known(with_tls: Services, with_stream: Services, domain: &str, dice: impl FnMut() -> u64) -> Vec<(Server, Begins)> {
    let has_stream = with_stream != Services::None;
    let mut services = Vec::new();
    for (found, begins) in [(with_tls, Begins::WithTls), (with_stream, Begins::WithStream)] {
        match found {
            Services::At(some) => services.extend(some.into_iter().map(|service| (service, begins))),
            Services::Unknown | Services::None => {}
        }
    }
    let mut servers = ordered(services, dice);
    servers.truncate(MAX_ADDRESSES);
    // That there is none that begins with TLS says nothing of the usual way.
    if servers.is_empty() && has_stream {
        servers.push((Server { host: domain.to_owned(), port: CLIENT_PORT }, Begins::WithStream));
    }
    servers
}

/// `host`, `host:port`, `[address]:port`.
fn host_and_port(text: &str) -> Server {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, port.parse().unwrap_or(CLIENT_PORT)),
        Some(_) | None => (text, CLIENT_PORT),
    };
    Server { host: host.trim_matches(['[', ']']).to_owned(), port }
}

async fn open(line: &Line, server: &Server, begins: Begins) -> Result<Io, End> {
    let stream = line.exchange.connector.tcp(server).await;
    let stream = stream.map_err(|error| if error.is_out_of_files() { End::OutOfFiles } else { End::broken(error) })?;
    let io = Io::Plain(stream);
    match begins {
        Begins::WithStream => Ok(io),
        Begins::WithTls => io.encrypt(line).await.map_err(|error| End::Broken(format!("no TLS with {}: {error}", server.host))),
    }
}

enum Io {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    Closed,
}

impl Io {
    /// The certificate is to be one for the domain of the account (RFC 6120 §13.7.2).
    async fn encrypt(self, line: &Line) -> io::Result<Self> {
        let Self::Plain(stream) = self else { return Ok(self) };
        let name = net::transport::server_name(line.account.jid.domain().as_str())?;
        let connecting = TlsConnector::from(Arc::clone(&line.exchange.connector.tls)).connect(name, stream);
        let agreed = timeout(PATIENCE, connecting).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?;
        Ok(Self::Tls(Box::new(agreed?)))
    }

    async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer).await,
            Self::Tls(stream) => stream.read(buffer).await,
            Self::Closed => Ok(0),
        }
    }

    /// Without an end a server that does not read would keep its account from everything else.
    async fn write(&mut self, text: &str) -> io::Result<()> {
        let writing = async {
            match self {
                Self::Plain(stream) => stream.write_all(text.as_bytes()).await,
                Self::Tls(stream) => {
                    stream.write_all(text.as_bytes()).await?;
                    stream.flush().await
                }
                Self::Closed => Err(io::ErrorKind::NotConnected.into()),
            }
        };
        timeout(PATIENCE, writing).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }
}

struct OverTcp<'a> {
    line: &'a mut Line,
    io: Io,
    domain: String,
    session: Session,
    framer: Framer,
    /// Our stream is ended.
    is_closing: bool,
}

impl OverTcp<'_> {
    async fn live(mut self) -> End {
        match self.exchange().await {
            Ok(end) => end,
            Err(error) => End::broken(error),
        }
    }

    async fn exchange(&mut self) -> io::Result<End> {
        let mut stop = self.line.exchange.stop.clone();
        let mut buffer = vec![0; 2048];
        let began = Instant::now();
        self.header().await?;
        loop {
            if let Some(end) = self.steps().await? {
                return Ok(end);
            }
            let is_late = !self.is_closing && self.session.jid().is_none() && began.elapsed() >= LOGIN;
            if is_late {
                return Ok(End::broken("the server does not go on with the login"));
            }
            tokio::select! {
                count = timeout(LOGIN, self.io.read(&mut buffer)) => match count {
                    Ok(Ok(0)) => return Ok(if self.is_closing { End::Closed } else { End::broken("the server has closed the connection") }),
                    Ok(count) => {
                        if let Some(end) = self.take(buffer.get(..count?).unwrap_or_default()) {
                            return Ok(end);
                        }
                    }
                    // Silence is usual once it is logged in; TCP finds out whether the server is there.
                    Err(_) if self.is_closing => return Ok(End::Closed),
                    Err(_) => {}
                },
                changed = self.line.views.changed() => match changed {
                    Ok(()) => self.line.look(&mut self.session),
                    Err(_) => return Ok(End::Stopped),
                },
                _ = stop.wait_for(|stops| *stops) => {
                    let _ = self.io.write(STREAM_END).await;
                    return Ok(End::Stopped);
                }
            }
        }
    }

    /// A new stream: the old one is gone without an end (RFC 6120 §4.3.3).
    async fn header(&mut self) -> io::Result<()> {
        self.framer = Framer::default();
        let mut xml = XmlWriter::new();
        xml.open("stream:stream").attribute("xmlns", ns::CLIENT).attribute("xmlns:stream", ns::STREAMS);
        xml.attribute("to", &self.domain).attribute("version", "1.0").attribute("xml:lang", "en");
        // A header is a start tag; the writer knows whole elements only.
        let header = xml.finish();
        self.io.write(&["<?xml version='1.0'?>", header.trim_end_matches("/>"), ">"].concat()).await
    }

    async fn steps(&mut self) -> io::Result<Option<End>> {
        while let Some(step) = self.session.step() {
            match step {
                Step::Send(xml) | Step::Answer(xml) => self.io.write(&xml).await?,
                Step::BeginTls => {
                    self.io = std::mem::replace(&mut self.io, Io::Closed).encrypt(self.line).await?;
                    self.header().await?;
                }
                Step::Restart => self.header().await?,
                Step::Up => self.line.up(&mut self.session).await,
                Step::Message(message) => self.line.report(Said::Message(message)).await,
                Step::Close => {
                    self.is_closing = true;
                    self.io.write(STREAM_END).await?;
                }
                Step::Ended(ended) => {
                    let _ = self.io.write(STREAM_END).await;
                    return Ok(Some(End::of(ended)));
                }
            }
        }
        Ok(None)
    }

    /// What came in, up to the first thing that is to be answered by a new stream: no bytes of the old one may follow.
    fn take(&mut self, mut input: &[u8]) -> Option<End> {
        loop {
            match self.framer.next(&mut input) {
                Ok(None) => return None,
                Ok(Some(StreamEvent::Stanza(element))) => {
                    self.session.element(&element);
                    match self.session.stream_end() {
                        // What stands behind it was not encrypted: somebody on the way may have put it there.
                        Some(Step::BeginTls) if !input.is_empty() => {
                            return Some(End::broken("the server goes on before TLS has begun"));
                        }
                        Some(_) => return None,
                        None => {}
                    }
                }
                // Nobody waits for an answer of a phone to what is too long.
                Ok(Some(StreamEvent::Opened(_) | StreamEvent::Refused(_))) => {}
                Ok(Some(StreamEvent::Closed)) if self.is_closing => return Some(End::Closed),
                Ok(Some(StreamEvent::Closed)) => return Some(End::broken("the server has ended the stream")),
                Err(fault) => return Some(End::broken(fault)),
            }
        }
    }
}

/// The port of clients (RFC 6120 §3.2.2).
const CLIENT_PORT: u16 = 5222;

/// How long TLS, and one write, may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a login may take, and the end of a stream.
const LOGIN: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::services::Service;

    #[test]
    fn both_kinds_of_servers_are_tried_in_one_order() {
        let at = |priority, host: &str| {
            let server = Server { host: host.to_owned(), port: 5223 };
            Services::At(vec![Service { priority, weight: 0, server }])
        };
        let known = |with_tls, with_stream| {
            let servers = known(with_tls, with_stream, "example.com", || 0);
            servers.into_iter().map(|(server, begins)| (server.host, begins)).collect::<Vec<_>>()
        };
        let (a, b) = (("a".to_owned(), Begins::WithTls), ("b".to_owned(), Begins::WithStream));
        assert_eq!(known(at(2, "a"), at(1, "b")), [b.clone(), a.clone()]);
        assert_eq!(known(at(1, "a"), at(2, "b")), [a.clone(), b]);
        let usual = [("example.com".to_owned(), Begins::WithStream)];
        assert_eq!(known(Services::Unknown, Services::Unknown), usual);
        assert_eq!(known(Services::None, Services::Unknown), usual);
        assert_eq!(known(at(1, "a"), Services::None), [a]);
        assert_eq!(known(Services::Unknown, Services::None), [], "the domain says that it has none");
    }

    #[test]
    fn hosts_have_a_port_or_the_usual_one() {
        for (text, host, port) in [
            ("xmpp.example.com", "xmpp.example.com", 5222),
            ("xmpp.example.com:5269", "xmpp.example.com", 5269),
            ("[2001:db8::1]:15222", "2001:db8::1", 15222),
            ("[2001:db8::1]", "2001:db8::1", 5222),
            ("192.0.2.1:x", "192.0.2.1", 5222),
        ] {
            assert_eq!(host_and_port(text), Server { host: host.into(), port }, "{text}");
        }
    }
}
