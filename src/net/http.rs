//! HTTP/1.1 as its client (RFC 9112): POSTs to one URL over connections that are kept, and a GET now and then.
//!
//! Made for ten thousand requests that are held for a minute each: while a request waits for its response it has a socket, and TLS if need be,
//! and no buffer. Names, TCP and TLS are those of [`crate::net`]. What fails is not tried again here: who asked knows whether it may be.

pub mod response;

use std::cell::RefCell;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Context;
use std::task::Poll;
use std::task::Waker;
use std::task::ready;

use ::http::Uri;
use tokio::io::AsyncRead;
use tokio::io::AsyncWriteExt;
use tokio::io::ReadBuf;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use self::response::After;
use self::response::Fault;
use self::response::LONGEST_BODY;
use self::response::Reader;
pub(crate) use self::response::Response;
use crate::net::CONNECT_TIMEOUT;
use crate::net::ConnectError;
use crate::net::MAX_ADDRESSES;
use crate::net::connector::Connector;
use crate::net::late;
use crate::net::tcp;
use crate::net::transport::server_name;

/// Where to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Url {
    uri: Uri,
    host: String,
    port: u16,
    scheme: Scheme,
}

/// How.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// `http:`, readable on the way.
    Http,
    /// `https:`.
    Https,
}

impl Url {
    /// Reads one; `None` if it is no absolute `http:` or `https:` URL.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let uri: Uri = text.parse().ok()?;
        let (scheme, usual_port) = match uri.scheme_str()? {
            "http" => (Scheme::Http, 80),
            "https" => (Scheme::Https, 443),
            _ => return None,
        };
        let host = uri.host()?.trim_matches(['[', ']']).to_owned();
        // A password in a URL is sent to nobody.
        let has_user = uri.authority()?.as_str().contains('@');
        (!host.is_empty() && !has_user).then(|| Self { host, port: uri.port_u16().unwrap_or(usual_port), scheme, uri })
    }

    /// How it is asked.
    pub(crate) fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// What a reference in an answer of this URL leads to (RFC 3986 §5.2): one with a scheme, a host, or a path.
    pub(crate) fn to(&self, reference: &str) -> Option<Self> {
        if Self::read(reference).is_some() {
            return Self::read(reference);
        }
        let (scheme, authority) = (self.uri.scheme_str()?, self.uri.authority()?.as_str());
        let start = match reference {
            _ if reference.starts_with("//") => format!("{scheme}:"),
            _ if reference.starts_with('/') => format!("{scheme}://{authority}"),
            _ => format!("{scheme}://{authority}{}", self.uri.path().rsplit_once('/').map_or("", |(folder, _)| folder)) + "/",
        };
        // A reference with another scheme has a colon in its first part.
        let is_path = !reference.is_empty() && !reference.split('/').next().is_some_and(|first| first.contains(':'));
        Self::read(&[&start, reference].concat()).filter(|_| is_path)
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.uri.fmt(f)
    }
}

/// A client of one URL. Its connections are closed with it.
#[derive(Debug)]
pub(crate) struct Client {
    url: Url,
    connector: Rc<Connector>,
    /// Open, and without a request.
    idle: RefCell<Option<Connection>>,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum HttpError {
    /// There is no connection.
    Connect(ConnectError),
    /// It broke.
    Broken(io::Error),
    /// What came over it is no response.
    Response(Fault),
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(error) => error.fmt(f),
            Self::Broken(error) => write!(f, "the connection broke: {error}"),
            Self::Response(Fault::NoHttp) => f.write_str("what answers does not speak HTTP"),
            Self::Response(Fault::LongHead) => f.write_str("the head of the answer is too long"),
            Self::Response(Fault::LongBody) => write!(f, "the answer has more than {LONGEST_BODY} bytes"),
            Self::Response(Fault::BrokenOff) => f.write_str("the connection broke before the end of the answer"),
        }
    }
}

impl HttpError {
    /// Whether this process has as many files open as it may.
    pub(crate) fn is_out_of_files(&self) -> bool {
        match self {
            Self::Connect(error) => error.is_out_of_files(),
            Self::Broken(_) | Self::Response(_) => false,
        }
    }
}

impl Client {
    /// Connects when it is asked to send something.
    pub(crate) fn new(url: Url, connector: Rc<Connector>) -> Rc<Self> {
        Rc::new(Self { url, connector, idle: RefCell::default() })
    }

    /// Posts XML. `sent` is called when a connection has taken it.
    pub(crate) async fn post(self: Rc<Self>, body: Arc<str>, sent: impl FnOnce()) -> Result<Response, HttpError> {
        let length = body.len();
        let content = format!("Content-Type: text/xml; charset=utf-8\r\nContent-Length: {length}\r\n\r\n{body}");
        self.ask([self.head("POST"), content].concat(), sent).await
    }

    /// Gets a document.
    pub(crate) async fn get(self: Rc<Self>) -> Result<Response, HttpError> {
        self.ask([self.head("GET").as_str(), "\r\n"].concat(), || {}).await
    }

    /// Closes the connection that has nothing to do.
    pub(crate) fn close_idle(&self) {
        *self.idle.borrow_mut() = None;
    }

    /// The request line and what all requests have. Nothing in it can end its line: it was read as a URI.
    fn head(&self, method: &str) -> String {
        let authority = self.url.uri.authority().map_or("", |authority| authority.as_str());
        let path = self.url.uri.path_and_query().map_or("/", |path| path.as_str());
        format!("{method} {path} HTTP/1.1\r\nHost: {authority}\r\n")
    }

    async fn ask(&self, request: String, sent: impl FnOnce()) -> Result<Response, HttpError> {
        let mut connection = match self.idle() {
            Some(connection) => connection,
            // What connecting takes is gone when the request is held.
            None => Box::pin(self.connect()).await?,
        };
        Box::pin(connection.write(request)).await.map_err(HttpError::Broken)?;
        sent();
        let response = connection.response().await?;
        if response.after == After::Open {
            // One is kept: the other request of a session is the one that is held.
            *self.idle.borrow_mut() = Some(connection);
        }
        Ok(response)
    }

    /// A connection without a request, unless its server has closed it.
    fn idle(&self) -> Option<Connection> {
        let connection = self.idle.borrow_mut().take();
        connection.and_then(Connection::if_silent)
    }

    async fn connect(&self) -> Result<Connection, HttpError> {
        let mut last = ConnectError::NoAddress;
        for address in self.connector.addresses(&self.url.host).await.map_err(HttpError::Connect)?.into_iter().take(MAX_ADDRESSES)
        {
            match self.connect_to(SocketAddr::new(address, self.url.port)).await {
                Ok(connection) => return Ok(connection),
                Err(error) => last = error,
            }
        }
        Err(HttpError::Connect(last))
    }

    async fn connect_to(&self, address: SocketAddr) -> Result<Connection, ConnectError> {
        let stream = tcp(address).await?;
        match self.url.scheme {
            Scheme::Http => Ok(Connection::Plain(stream)),
            Scheme::Https => {
                let tls_error = |error| ConnectError::Tls(address, error);
                let name = server_name(&self.url.host).map_err(tls_error)?;
                let connecting = TlsConnector::from(Arc::clone(&self.connector.tls)).connect(name, stream);
                let agreed: io::Result<_> = timeout(CONNECT_TIMEOUT, connecting).await.map_err(late).flatten();
                Ok(Connection::Tls(Box::new(agreed.map_err(tls_error)?)))
            }
        }
    }
}

/// One connection.
#[derive(Debug)]
enum Connection {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Connection {
    async fn write(&mut self, request: String) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.write_all(request.as_bytes()).await,
            Self::Tls(stream) => {
                stream.write_all(request.as_bytes()).await?;
                stream.flush().await
            }
        }
    }

    /// The next response.
    async fn response(&mut self) -> Result<Response, HttpError> {
        let mut reader = Reader::default();
        poll_fn(|context| {
            loop {
                let response = ready!(self.poll_read(context, &mut |bytes| match bytes {
                    [] => reader.end().map(Some),
                    bytes => reader.read(bytes),
                }));
                if let Some(response) = response.map_err(HttpError::Broken)?.map_err(HttpError::Response)? {
                    return Poll::Ready(Ok(response));
                }
            }
        })
        .await
    }

    /// Nothing is to come where nothing was asked for: what does is its end, or belongs to nothing.
    fn if_silent(mut self) -> Option<Self> {
        let mut context = Context::from_waker(Waker::noop());
        self.poll_read(&mut context, &mut |_| ()).is_pending().then_some(self)
    }

    /// Hands on what there is; nothing is the end. The buffer is there for this call only.
    fn poll_read<R>(&mut self, context: &mut Context<'_>, take: &mut dyn FnMut(&[u8]) -> R) -> Poll<io::Result<R>> {
        let mut buffer = [0; AT_ONCE];
        let mut buffer = ReadBuf::new(&mut buffer);
        ready!(match self {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, &mut buffer),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_read(context, &mut buffer),
        })?;
        Poll::Ready(Ok(take(buffer.filled())))
    }
}

/// Bytes that are read at once.
const AT_ONCE: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    use tokio::io::AsyncReadExt;
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;
    use tokio::task::LocalSet;
    use tokio_rustls::rustls::RootCertStore;

    fn connector() -> Rc<Connector> {
        Rc::new(Connector::new(&Arc::new(RootCertStore::empty())).unwrap())
    }

    /// Runs a client against a server that answers each request on a connection with the next of these texts, and then closes it.
    fn with_server(answers: Vec<&'static str>, run: impl AsyncFnOnce(Rc<Client>)) -> Vec<String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build().unwrap();
        LocalSet::new().block_on(&runtime, async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("http://{}/http-bind?x=1", listener.local_addr().unwrap());
            let client = Client::new(Url::read(&url).unwrap(), connector());
            let server = tokio::task::spawn_local(async move {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut asked = Vec::new();
                for answer in answers {
                    let mut buffer = [0; 4096];
                    let count = stream.read(&mut buffer).await.unwrap();
                    asked.push(String::from_utf8_lossy(&buffer[..count]).into_owned());
                    stream.write_all(answer.as_bytes()).await.unwrap();
                }
                asked
            });
            tokio::time::timeout(Duration::from_secs(10), run(client)).await.unwrap();
            server.await.unwrap()
        })
    }

    #[test]
    fn a_connection_serves_one_request_after_the_other() {
        let asked = with_server(
            vec![
                "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none",
                "HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ntwo\r\n0\r\n\r\n",
            ],
            async |client| {
                for (status, body) in [(200, "one"), (404, "two")] {
                    let response = Rc::clone(&client).post("<body/>".into(), || {}).await.unwrap();
                    assert_eq!((response.status, &*response.body), (status, body.as_bytes()));
                }
            },
        );
        assert!(asked[0].starts_with("POST /http-bind?x=1 HTTP/1.1\r\n"), "{}", asked[0]);
        assert!(asked[0].ends_with("\r\n\r\n<body/>") && asked[0].contains("Content-Length: 7"));
    }

    #[test]
    fn what_breaks_off_is_no_answer() {
        for answer in [
            "",
            "HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\none",
            "SSH-2.0-x\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ntw",
        ] {
            with_server(vec![answer], async |client| assert!(client.post("<body/>".into(), || {}).await.is_err()));
        }
    }

    #[test]
    fn an_answer_has_an_end() {
        let long = format!("HTTP/1.1 200 OK\r\nContent-Length: 2000000\r\n\r\n{}", "x".repeat(2_000_000));
        with_server(vec![Box::leak(long.into_boxed_str())], async |client| {
            assert!(matches!(client.post("<body/>".into(), || {}).await, Err(HttpError::Response(Fault::LongBody))));
        });
    }

    #[test]
    fn only_urls_of_http_are_read() {
        let url = Url::read("https://[2001:db8::1]:5281/http-bind").unwrap();
        assert_eq!((&*url.host, url.port, url.scheme()), ("2001:db8::1", 5281, Scheme::Https));
        assert_eq!(Url::read("http://example.com").unwrap().port, 80);
        for wrong in ["", "example.com/http-bind", "ftp://example.com/", "https:///x", "https://a:b@example.com/", "http://a b/"]
        {
            assert_eq!(Url::read(wrong), None, "{wrong}");
        }
    }
}
