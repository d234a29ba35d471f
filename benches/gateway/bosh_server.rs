//! A connection manager (XEP-0124) and XMPP server in a thread, with or without TLS: lets everybody in, and holds what says nothing.
//!
//! It is strict about request numbers, as real ones are: a session that goes on after a restart has to go on with the next one, or with a
//! request again that it has seen.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::process::Stdio;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use data_encoding::BASE64;
use tokio::io::AsyncRead;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWrite;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::LocalSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use xmpp_gateway::xmpp::ns;

/// The domain of all accounts.
pub(crate) const DOMAIN: &str = "bench.example";

/// How long a request is held.
pub(crate) const WAIT: Duration = Duration::from_secs(60);

/// What was seen.
#[derive(Default)]
pub(crate) struct Seen {
    /// Sessions that were made.
    pub(crate) created: AtomicUsize,
    /// Sessions with presence.
    pub(crate) online: AtomicUsize,
    /// Sessions that were asked to wait.
    pub(crate) paused: AtomicUsize,
    /// Requests of no session, or with a number that is out of order.
    pub(crate) unknown: AtomicUsize,
    /// Requests.
    pub(crate) requests: AtomicUsize,
    /// Connections that are open.
    pub(crate) connections: AtomicUsize,
}

impl Seen {
    /// One of its counts.
    pub(crate) fn count(count: &AtomicUsize) -> usize {
        count.load(Ordering::Relaxed)
    }
}

/// Serves until the process ends: its address, and what it sees. With a folder it makes a certificate `ca.pem` there, and speaks TLS.
pub(crate) fn start(tls: Option<&Path>) -> io::Result<(SocketAddr, Arc<Seen>)> {
    let acceptor = tls.map(acceptor).transpose()?;
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let seen = Arc::<Seen>::default();
    let shared = Arc::clone(&seen);
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build().unwrap();
        let serve = async { serve(TcpListener::from_std(listener).unwrap(), acceptor, shared).await };
        LocalSet::new().block_on(&runtime, serve);
    });
    Ok((address, seen))
}

fn acceptor(folder: &Path) -> io::Result<TlsAcceptor> {
    let [certificate, key] = ["ca.pem", "key.pem"].map(|name| folder.join(name));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"])
        .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .stderr(Stdio::null())
        .status()?;
    if !made.success() {
        return Err(io::Error::other("openssl made no certificate"));
    }
    let chain = vec![CertificateDer::from_pem_slice(&fs::read(&certificate)?).map_err(io::Error::other)?];
    let key = PrivateKeyDer::from_pem_slice(&fs::read(&key)?).map_err(io::Error::other)?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|config| config.with_no_client_auth().with_single_cert(chain, key))
        .map_err(io::Error::other)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// One session.
#[derive(Default)]
struct Session {
    /// The number that is next.
    next: u64,
    /// The request that is held: its number, and who wants the answer.
    held: Option<(u64, oneshot::Sender<String>)>,
    /// The last answers, for requests that come again.
    answers: Vec<(u64, String)>,
    /// Who has logged in.
    user: String,
}

type Sessions = Rc<RefCell<HashMap<String, Session>>>;

async fn serve(listener: TcpListener, acceptor: Option<TlsAcceptor>, seen: Arc<Seen>) {
    let sessions = Sessions::default();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        let (acceptor, seen, sessions) = (acceptor.clone(), Arc::clone(&seen), Rc::clone(&sessions));
        tokio::task::spawn_local(async move {
            seen.connections.fetch_add(1, Ordering::Relaxed);
            let _ = match acceptor {
                None => exchange(stream, &sessions, &seen).await,
                Some(acceptor) => match acceptor.accept(stream).await {
                    Ok(stream) => exchange(stream, &sessions, &seen).await,
                    Err(error) => Err(error),
                },
            };
            seen.connections.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

/// One connection: a request after the other.
async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, sessions: &Sessions, seen: &Seen) -> io::Result<()> {
    let mut input = Vec::new();
    loop {
        let (start, length) = loop {
            if let Some(found) = whole(&input) {
                break found;
            }
            let mut some = [0; 4096];
            match stream.read(&mut some).await? {
                0 => return Ok(()),
                count => input.extend_from_slice(&some[..count]),
            }
        };
        let request = String::from_utf8_lossy(&input[start..start + length]).into_owned();
        input.drain(..start + length);
        seen.requests.fetch_add(1, Ordering::Relaxed);
        let answer = answer(&request, sessions, seen).await;
        let head =
            format!("HTTP/1.1 200 OK\r\nContent-Type: text/xml; charset=utf-8\r\nContent-Length: {}\r\n\r\n", answer.len());
        stream.write_all(&[head.as_bytes(), answer.as_bytes()].concat()).await?;
        stream.flush().await?;
    }
}

/// Where the content of the first request begins, and how long it is, once all of it is there.
fn whole(input: &[u8]) -> Option<(usize, usize)> {
    let start = memchr::memmem::find(input, b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&input[..start]).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok()).unwrap_or(0);
    (input.len() >= start + length).then_some((start, length))
}

async fn answer(request: &str, sessions: &Sessions, seen: &Seen) -> String {
    let rid: u64 = attribute(request, "rid").and_then(|rid| rid.parse().ok()).unwrap_or(0);
    let Some(sid) = attribute(request, "sid") else {
        let sid = format!("{:016x}", seen.created.fetch_add(1, Ordering::Relaxed));
        sessions.borrow_mut().insert(sid.clone(), Session { next: rid + 1, ..Session::default() });
        return format!(
            "<body sid='{sid}' wait='60' requests='2' inactivity='60' maxpause='300' hold='1' xmlns='{}'>{}</body>",
            ns::HTTPBIND,
            features(&format!("<mechanisms xmlns='{}'><mechanism>PLAIN</mechanism></mechanisms>", ns::SASL))
        );
    };
    let (said, held) = {
        let mut all = sessions.borrow_mut();
        let Some(session) = all.get_mut(&sid) else { return unknown(seen) };
        if let Some((_, text)) = session.answers.iter().find(|(known, _)| *known == rid) {
            return text.clone();
        }
        let again = session.held.as_ref().is_some_and(|(known, _)| *known == rid);
        if rid != session.next && !again {
            return unknown(seen);
        }
        session.next = session.next.max(rid + 1);
        if let Some((earlier, held)) = session.held.take().filter(|_| !again) {
            let text = body("");
            session.answers.push((earlier, text.clone()));
            let _ = held.send(text);
        }
        let said = said(request, session, seen);
        match &said {
            Some(text) => {
                session.answers.push((rid, text.clone()));
                (said, None)
            }
            None => {
                let (sender, receiver) = oneshot::channel();
                session.held = Some((rid, sender));
                (None, Some(receiver))
            }
        }
    };
    let text = match (said, held) {
        (Some(text), _) => text,
        (None, Some(held)) => match timeout(WAIT, held).await {
            Ok(Ok(text)) => return text,
            // It came again on another connection.
            Ok(Err(_)) => return body(""),
            Err(_) => body(""),
        },
        (None, None) => body(""),
    };
    if let Some(session) = sessions.borrow_mut().get_mut(&sid) {
        session.held = session.held.take().filter(|(held, _)| *held != rid);
        session.answers.retain(|(known, _)| *known != rid && *known + 3 > rid);
        session.answers.push((rid, text.clone()));
    }
    if request.contains("type=\"terminate\"") || request.contains("type='terminate'") {
        sessions.borrow_mut().remove(&sid);
    }
    text
}

/// What is answered at once; `None`: the request is held.
fn said(request: &str, session: &mut Session, seen: &Seen) -> Option<String> {
    if attribute(request, "type").as_deref() == Some("terminate") {
        return Some(format!("<body type='terminate' xmlns='{}'/>", ns::HTTPBIND));
    }
    if attribute(request, "pause").is_some() {
        seen.paused.fetch_add(1, Ordering::Relaxed);
        return Some(body(""));
    }
    if request.contains("xmpp:restart") {
        return Some(body(&features(&format!("<bind xmlns='{}'/>", ns::BIND))));
    }
    if let Some((_, auth)) = request.split_once("<auth ") {
        session.user = user_of(auth).unwrap_or_default();
        return Some(body(&format!("<success xmlns='{}'/>", ns::SASL)));
    }
    if request.contains("<bind ") {
        let jid = format!("{}@{DOMAIN}/SIP-phone", session.user);
        return Some(body(&format!(
            "<iq xmlns='jabber:client' type='result' id='bind'><bind xmlns='{}'><jid>{jid}</jid></bind></iq>",
            ns::BIND
        )));
    }
    if request.contains("<presence ") || request.contains("<presence>") {
        seen.online.fetch_add(1, Ordering::Relaxed);
    }
    None
}

/// Who says so in PLAIN (RFC 4616).
fn user_of(auth: &str) -> Option<String> {
    let (_, text) = auth.split_once('>')?;
    let plain = BASE64.decode(text.split('<').next()?.as_bytes()).ok()?;
    Some(String::from_utf8_lossy(plain.split(|byte| *byte == 0).nth(1)?).into_owned())
}

fn unknown(seen: &Seen) -> String {
    seen.unknown.fetch_add(1, Ordering::Relaxed);
    format!("<body type='terminate' condition='item-not-found' xmlns='{}'/>", ns::HTTPBIND)
}

fn features(content: &str) -> String {
    format!("<stream:features xmlns:stream='{}'>{content}</stream:features>", ns::STREAMS)
}

fn body(content: &str) -> String {
    format!("<body xmlns='{}'>{content}</body>", ns::HTTPBIND)
}

/// The value of an attribute of the first tag.
fn attribute(request: &str, name: &str) -> Option<String> {
    let tag = request.split('>').next()?;
    let (_, rest) = tag.split_once(&format!(" {name}="))?;
    let quote = rest.chars().next()?;
    Some(rest.get(1..)?.split(quote).next()?.to_owned())
}
