//! HTTP/1.1 as its client (RFC 9112): POSTs to one URL over connections that are kept, and a GET now and then.
//!
//! hyper does HTTP; names, TCP and TLS are those of [`crate::net`]. What fails is not tried again here: who asked knows whether it may be.

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use http_body_util::BodyExt;
use http_body_util::Full;
use http_body_util::Limited;
use hyper::Method;
use hyper::Request;
use hyper::Uri;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::client::conn::http1::SendRequest;
use hyper::header;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;

use crate::net::CONNECT_TIMEOUT;
use crate::net::ConnectError;
use crate::net::MAX_ADDRESSES;
use crate::net::addresses;
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
    tls: Arc<ClientConfig>,
    /// Open, and without a request.
    idle: RefCell<Vec<SendRequest<Full<Bytes>>>>,
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    /// Where else it is to be had, with a status of 3xx.
    pub(crate) location: Option<String>,
    pub(crate) body: Bytes,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum HttpError {
    /// There is no connection.
    Connect(ConnectError),
    /// It broke, or what came over it is no HTTP.
    Broken(hyper::Error),
    /// The answer broke off, or is longer than it may be.
    Body,
    /// The URL cannot be asked for.
    Request(hyper::http::Error),
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(error) => error.fmt(f),
            Self::Broken(error) => write!(f, "the connection broke: {error}"),
            Self::Body => write!(f, "the answer broke off, or has more than {LONGEST_BODY} bytes"),
            Self::Request(error) => write!(f, "the URL cannot be asked for: {error}"),
        }
    }
}

impl Client {
    /// Connects when it is asked to send something. Certificates are checked as `tls` says.
    pub(crate) fn new(url: Url, tls: Arc<ClientConfig>) -> Rc<Self> {
        Rc::new(Self { url, tls, idle: RefCell::default() })
    }

    /// Posts XML. `sent` is called when a connection has taken it.
    pub(crate) async fn post(self: Rc<Self>, body: Arc<str>, sent: impl FnOnce()) -> Result<Response, HttpError> {
        let body = Full::new(Bytes::from_owner(Arc::<[u8]>::from(body)));
        let request = self.request(Method::POST).header(header::CONTENT_TYPE, "text/xml; charset=utf-8").body(body);
        self.ask(request.map_err(HttpError::Request)?, sent).await
    }

    /// Gets a document.
    pub(crate) async fn get(self: Rc<Self>) -> Result<Response, HttpError> {
        let request = self.request(Method::GET).body(Full::default());
        self.ask(request.map_err(HttpError::Request)?, || {}).await
    }

    /// Closes the connections that have nothing to do.
    pub(crate) fn close_idle(&self) {
        self.idle.borrow_mut().clear();
    }

    fn request(&self, method: Method) -> hyper::http::request::Builder {
        let authority = self.url.uri.authority().map_or("", |authority| authority.as_str());
        let path = self.url.uri.path_and_query().map_or("/", |path| path.as_str());
        Request::builder().method(method).uri(path).header(header::HOST, authority)
    }

    async fn ask(&self, request: Request<Full<Bytes>>, sent: impl FnOnce()) -> Result<Response, HttpError> {
        let mut connection = match self.idle() {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        let answer = connection.send_request(request);
        sent();
        let response = answer.await.map_err(HttpError::Broken)?;
        let status = response.status().as_u16();
        let location = response.headers().get(header::LOCATION).filter(|_| response.status().is_redirection());
        let location = location.and_then(|location| location.to_str().ok()).map(str::to_owned);
        let body = Limited::new(response.into_body(), LONGEST_BODY).collect().await.map_err(|_| HttpError::Body)?;
        let mut idle = self.idle.borrow_mut();
        if idle.len() < MOST_IDLE && !connection.is_closed() {
            idle.push(connection);
        }
        Ok(Response { status, location, body: body.to_bytes() })
    }

    /// A connection without a request, unless its server has closed it.
    fn idle(&self) -> Option<SendRequest<Full<Bytes>>> {
        let mut idle = self.idle.borrow_mut();
        idle.retain(|connection| connection.is_ready());
        idle.pop()
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, HttpError> {
        let mut last = ConnectError::NoAddress;
        for address in addresses(&self.url.host).await.map_err(HttpError::Connect)?.into_iter().take(MAX_ADDRESSES) {
            match self.connect_to(SocketAddr::new(address, self.url.port)).await {
                Err(HttpError::Connect(error)) => last = error,
                other => return other,
            }
        }
        Err(HttpError::Connect(last))
    }

    async fn connect_to(&self, address: SocketAddr) -> Result<SendRequest<Full<Bytes>>, HttpError> {
        let stream = tcp(address).await.map_err(HttpError::Connect)?;
        match self.url.scheme {
            Scheme::Http => begin(stream).await,
            Scheme::Https => {
                let tls_error = |error| HttpError::Connect(ConnectError::Tls(address, error));
                let name = server_name(&self.url.host).map_err(tls_error)?;
                let connecting = TlsConnector::from(Arc::clone(&self.tls)).connect(name, stream);
                let agreed: io::Result<_> = timeout(CONNECT_TIMEOUT, connecting).await.map_err(late).flatten();
                begin(agreed.map_err(tls_error)?).await
            }
        }
    }
}

/// HTTP on a connection; a task of its own reads and writes it until it ends.
async fn begin<S>(stream: S) -> Result<SendRequest<Full<Bytes>>, HttpError>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let mut builder = http1::Builder::new();
    let handshake = builder.max_buf_size(HEADER_BYTES).handshake(TokioIo::new(stream)).await;
    let (requests, connection) = handshake.map_err(HttpError::Broken)?;
    // What ends it reaches whoever waits for an answer.
    tokio::task::spawn_local(async move { drop(connection.await) });
    Ok(requests)
}

/// Connections that are kept without a request.
const MOST_IDLE: usize = 1;

/// Bytes of an answer.
const LONGEST_BODY: usize = 1024 * 1024;

/// Bytes of a header: the least that hyper takes, as there may be ten thousand connections.
const HEADER_BYTES: usize = 8192;

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    use tokio::io::AsyncReadExt;
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;
    use tokio::task::LocalSet;
    use tokio_rustls::rustls::RootCertStore;

    fn tls() -> Arc<ClientConfig> {
        crate::net::transport::client_config(&Arc::new(RootCertStore::empty())).unwrap()
    }

    /// Runs a client against a server that answers each request on a connection with the next of these texts, and then closes it.
    fn with_server(answers: Vec<&'static str>, run: impl AsyncFnOnce(Rc<Client>)) -> Vec<String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build().unwrap();
        LocalSet::new().block_on(&runtime, async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("http://{}/http-bind?x=1", listener.local_addr().unwrap());
            let client = Client::new(Url::read(&url).unwrap(), tls());
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
        assert!(asked[0].ends_with("\r\n\r\n<body/>") && asked[0].contains("content-length: 7"));
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
            assert!(matches!(client.post("<body/>".into(), || {}).await, Err(HttpError::Body)));
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
