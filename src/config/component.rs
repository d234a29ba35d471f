//! The component connections: which domains we speak for, and the servers, secret and TLS of each.
//!
//! One component is set by `xmpp_domain`, `xmpp_host`, `xmpp_port`, `xmpp_password`, `xmpp_tls` and `xmpp_tls_ca`; further ones, or
//! all, by `xmpp_component`, whose entries take host, port and TLS from those where they say nothing of their own. Files are read
//! here, once, while the host is still what the operator started it as.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;

use super::Error;
use super::Parameters;
use super::Secret;
use super::TAKES_DOMAIN;
use super::domain;
use super::required;
use super::secret;
use super::server::Server;
use super::server::servers;

/// The port of component connections; IANA has registered none, every server uses this one.
pub const DEFAULT_COMPONENT_PORT: u16 = 5347;

/// Components of one gateway at the most: one bit of the shared page is the state of one.
pub const MAX_COMPONENTS: usize = 64;

const DEFAULT_HOST: &str = "127.0.0.1";

/// Seconds without a byte from the server after which it is asked for one.
const DEFAULT_PING_INTERVAL: u64 = 30;

/// Seconds that the answer may take.
const DEFAULT_PING_TIMEOUT: u64 = 10;

/// The longest of both: beyond it the kernel's own limits are quicker.
const MAX_PING_SECONDS: i64 = 3600;

const TAKES_COMPONENT: &str = "\"domain=...;secret=...\" or \"domain=...;secret_file=...\", and where wanted host, port, tls (on or \
                               off) and tls_ca, each once; a secret with a semicolon goes into a secret_file";
const TAKES_CA: &str = "a file in PEM form that can be read and has at least one CA certificate";

/// A component connection.
#[derive(Debug, Clone)]
pub struct Component {
    /// Our domain on the XMPP side: `sip_domain` where it is set, else `xmpp_domain`; or that of `xmpp_component`.
    pub domain: String,
    /// Where the XMPP server is (`xmpp_host`, `xmpp_port`), in the order they are tried; never empty.
    pub servers: Vec<Server>,
    /// The shared secret (`xmpp_password`).
    pub secret: Secret,
    /// Whether the connection is encrypted from its first byte (`xmpp_tls`).
    pub tls: Tls,
    /// When a silent server counts as dead.
    pub ping: Option<Ping>,
}

/// Encryption of a connection.
#[derive(Debug, Clone)]
pub enum Tls {
    /// None: for loopback and private networks.
    Off,
    /// From the first byte; the server's certificate has to come from one of these.
    On(Arc<RootCertStore>),
}

/// Liveness (XEP-0199).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ping {
    /// After so long without a byte from the server it is pinged (`ping_interval`).
    pub interval: Duration,
    /// After so long without an answer it counts as dead (`ping_timeout`).
    pub timeout: Duration,
}

/// All components, in the order the script sets them; `xmpp_domain` first.
pub(super) fn components(parameters: &Parameters) -> Result<Vec<Component>, Error> {
    let ping = ping(parameters)?;
    let port = port("xmpp_port", parameters.xmpp_port)?;
    let mut components = Vec::new();
    // Whoever sets one of the three wants the component that they describe.
    let single =
        [&parameters.xmpp_domain, &parameters.sip_domain, &parameters.xmpp_password_file].into_iter().any(Option::is_some)
            || parameters.xmpp_password.is_some();
    if single || parameters.xmpp_component.is_empty() {
        let xmpp_domain = required("xmpp_domain", parameters.xmpp_domain.as_deref(), TAKES_DOMAIN)
            .and_then(|value| domain("xmpp_domain", value))?;
        let sip_domain = parameters.sip_domain.as_deref().map(|value| domain("sip_domain", value)).transpose()?;
        components.push(Component {
            domain: sip_domain.unwrap_or(xmpp_domain),
            servers: servers("xmpp_host", parameters.xmpp_host.as_deref().unwrap_or(DEFAULT_HOST), port)?,
            secret: secret::secret(parameters)?,
            tls: tls("xmpp_tls", parameters.xmpp_tls.as_deref(), "xmpp_tls_ca", parameters.xmpp_tls_ca.as_deref())?,
            ping,
        });
    }
    for line in &parameters.xmpp_component {
        let component = Entry::parse(line.expose())?.component(parameters, port, ping)?;
        let taken = components.iter().any(|other| other.domain == component.domain);
        if taken || components.len() >= MAX_COMPONENTS {
            let value = Some(format!("domain={};...", component.domain));
            return Err(Error { parameter: "xmpp_component", value, takes: "each domain once, and 64 of them at the most" });
        }
        components.push(component);
    }
    Ok(components)
}

/// One `xmpp_component`, not yet checked.
#[derive(Default)]
struct Entry<'a> {
    domain: Option<&'a str>,
    host: Option<&'a str>,
    port: Option<&'a str>,
    secret: Option<&'a str>,
    secret_file: Option<&'a str>,
    tls: Option<&'a str>,
    tls_ca: Option<&'a str>,
}

impl<'a> Entry<'a> {
    fn parse(line: &'a str) -> Result<Self, Error> {
        let mut entry = Self::default();
        for field in line.split(';').map(str::trim).filter(|field| !field.is_empty()) {
            let known = field.split_once('=').and_then(|(key, value)| Some((entry.field(key.trim())?, value.trim())));
            // What is not understood may be a part of the secret: it is not shown.
            match known {
                Some((place @ None, value)) => *place = Some(value),
                Some((Some(_), _)) | None => return Err(entry.refused(TAKES_COMPONENT)),
            }
        }
        Ok(entry)
    }

    fn field(&mut self, key: &str) -> Option<&mut Option<&'a str>> {
        match key {
            "domain" => Some(&mut self.domain),
            "host" => Some(&mut self.host),
            "port" => Some(&mut self.port),
            "secret" => Some(&mut self.secret),
            "secret_file" => Some(&mut self.secret_file),
            "tls" => Some(&mut self.tls),
            "tls_ca" => Some(&mut self.tls_ca),
            _ => None,
        }
    }

    fn component(&self, parameters: &Parameters, port: u16, ping: Option<Ping>) -> Result<Component, Error> {
        let name = "xmpp_component";
        let port = match self.port {
            Some(port) => self::port(name, Some(port.parse().map_err(|_| self.refused("a port number from 1 to 65535"))?))?,
            None => port,
        };
        let tls_ca = self.tls_ca.or(parameters.xmpp_tls_ca.as_deref());
        Ok(Component {
            domain: domain(name, self.domain.ok_or_else(|| self.refused(TAKES_COMPONENT))?)?,
            servers: servers(name, self.host.or(parameters.xmpp_host.as_deref()).unwrap_or(DEFAULT_HOST), port)?,
            secret: self.secret()?,
            tls: tls(name, self.tls.or(parameters.xmpp_tls.as_deref()), name, tls_ca)?,
            ping,
        })
    }

    fn secret(&self) -> Result<Secret, Error> {
        match (self.secret, self.secret_file) {
            (Some(secret), None) if !secret.is_empty() => Ok(Secret::new(secret.to_owned())),
            (None, Some(path)) => secret::read(path).map_err(|takes| Error {
                parameter: "xmpp_component",
                value: Some(format!("secret_file={path}")),
                takes,
            }),
            (_, _) => Err(self.refused("either a secret or a secret_file")),
        }
    }

    fn refused(&self, takes: &'static str) -> Error {
        let value = Some(self.domain.map_or("...".to_owned(), |domain| format!("domain={domain};...")));
        Error { parameter: "xmpp_component", value, takes }
    }
}

fn tls(parameter: &'static str, wanted: Option<&str>, ca_parameter: &'static str, ca: Option<&str>) -> Result<Tls, Error> {
    match wanted {
        None | Some("off") => return Ok(Tls::Off),
        Some("on") => {}
        Some(other) => return Err(Error { parameter, value: Some(other.to_owned()), takes: "\"on\" or \"off\"" }),
    }
    let Some(path) = ca else {
        let takes = "the PEM file of the CA that the server's certificate comes from, because TLS is on (xmpp_tls_ca, or tls_ca)";
        return Err(Error { parameter: "xmpp_tls_ca", value: None, takes });
    };
    roots(ca_parameter, path).map(Tls::On)
}

/// The certificates in a PEM file, to be trusted.
pub(super) fn roots(parameter: &'static str, path: &str) -> Result<Arc<RootCertStore>, Error> {
    let refused = |why: String| Error { parameter, value: Some(format!("{path}: {why}")), takes: TAKES_CA };
    let pem = fs::read(path).map_err(|error| refused(error.to_string()))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| refused(error.to_string()))?;
        roots.add(certificate).map_err(|error| refused(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(refused("it has no certificate".to_owned()));
    }
    Ok(Arc::new(roots))
}

fn port(parameter: &'static str, port: Option<i64>) -> Result<u16, Error> {
    let Some(given) = port else { return Ok(DEFAULT_COMPONENT_PORT) };
    match u16::try_from(given) {
        Ok(port) if port != 0 => Ok(port),
        _ => Err(Error { parameter, value: Some(given.to_string()), takes: "a port number from 1 to 65535" }),
    }
}

fn ping(parameters: &Parameters) -> Result<Option<Ping>, Error> {
    let seconds = |parameter, given: Option<i64>, least, default, takes| match given {
        None => Ok(default),
        Some(given) if (least..=MAX_PING_SECONDS).contains(&given) => Ok(given.unsigned_abs()),
        Some(given) => Err(Error { parameter, value: Some(given.to_string()), takes }),
    };
    let takes = "seconds, from 1 to 3600, or 0 for no pings";
    let interval = seconds("ping_interval", parameters.ping_interval, 0, DEFAULT_PING_INTERVAL, takes)?;
    let takes = "seconds, from 1 to 3600";
    let timeout = seconds("ping_timeout", parameters.ping_timeout, 1, DEFAULT_PING_TIMEOUT, takes)?;
    let ping = Ping { interval: Duration::from_secs(interval), timeout: Duration::from_secs(timeout) };
    Ok((interval > 0).then_some(ping))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn one() -> Parameters {
        Parameters { xmpp_domain: Some("sip.example.com".into()), xmpp_password: Some("s3cret".into()), ..Parameters::default() }
    }

    fn entries(lines: &[&str]) -> Parameters {
        Parameters { xmpp_component: lines.iter().map(|line| (*line).into()).collect(), ..Parameters::default() }
    }

    fn refusal(parameters: &Parameters) -> String {
        components(parameters).unwrap_err().to_string()
    }

    fn shown(parameters: &Parameters) -> Vec<String> {
        let shown = |component: &Component| {
            let servers: Vec<String> = component.servers.iter().map(ToString::to_string).collect();
            format!("{} at {}", component.domain, servers.join(" "))
        };
        components(parameters).unwrap().iter().map(shown).collect()
    }

    #[test]
    fn an_entry_takes_from_the_single_parameters_what_it_does_not_say() {
        let parameters = Parameters {
            xmpp_host: Some("xmpp.example.net".into()),
            xmpp_port: Some(5000),
            ..entries(&["domain=a.example;secret=1", "domain=b.example; host=other.example ;port=5001;secret=a=b;tls=off;"])
        };
        assert_eq!(shown(&parameters), ["a.example at xmpp.example.net:5000", "b.example at other.example:5001"]);
        let components = components(&parameters).unwrap();
        assert_eq!(components.last().unwrap().secret.expose(), "a=b");
    }

    #[test]
    fn the_single_component_and_entries_stand_side_by_side() {
        let parameters = Parameters { xmpp_component: vec!["domain=b.example;secret=1".into()], ..one() };
        assert_eq!(shown(&parameters), ["sip.example.com at 127.0.0.1:5347", "b.example at 127.0.0.1:5347"]);
    }

    #[test]
    fn an_entry_that_cannot_be_used_is_named_without_its_secret() {
        for line in [
            "secret=s3cret",
            "domain=a.example",
            "domain=a.example;secret=s3cret;secret_file=/dev/null",
            "domain=a.example;secret=s3;cret=x",
            "domain=a.example;secret=s3;cret",
            "domain=a.example;secret=s3cret;secret=other",
            "domain=a.example;secret=",
            "domain=a.example;secret=s3cret;port=http",
            "domain=a.example;secret=s3cret;port=0",
            "domain=a b;secret=s3cret",
            "domain=a.1;secret=s3cret",
            "domain=a.example;secret=s3cret;tls=maybe",
            "domain=a.example;secret_file=/does/not/exist",
            "domain=a.example;secret_file=/dev/null",
        ] {
            let refusal = refusal(&entries(&[line]));
            assert!(refusal.starts_with("parameter xmpp_component is \""), "{line}: {refusal}");
            assert!(!refusal.contains("cret=x") && !refusal.contains("s3"), "{refusal}");
        }
    }

    #[test]
    fn a_domain_that_is_none_is_that_of_its_own_parameter() {
        for wrong in ["a b", "a.1", "a..b", "1.2.3", &"a".repeat(64)] {
            for (name, parameters) in [
                ("xmpp_domain", Parameters { xmpp_domain: Some(wrong.into()), ..one() }),
                ("sip_domain", Parameters { sip_domain: Some(wrong.into()), ..one() }),
                ("xmpp_component", entries(&[&format!("domain={wrong};secret=1")])),
            ] {
                let parameters = Parameters { server_address: Some("sip:gw@sip.example.com".into()), ..parameters };
                let refusal = Config::from_parameters(&parameters).unwrap_err().to_string();
                let expected = format!("parameter {name} is \"{wrong}\"; it takes a domain name, as in \"sip.example.com\"");
                assert_eq!(refusal, expected);
            }
        }
    }

    #[test]
    fn a_domain_twice_and_too_many_of_them_are_refused() {
        let twice = entries(&["domain=a.example;secret=1", "domain=A.example;secret=2"]);
        assert!(refusal(&twice).starts_with("parameter xmpp_component is \"domain=a.example;...\"; it takes each domain once"));
        let lines: Vec<String> = (0..=MAX_COMPONENTS).map(|number| format!("domain=d{number}.example;secret=1")).collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        assert!(refusal(&entries(&lines)).starts_with("parameter xmpp_component is \"domain=d64.example;...\""));
    }

    #[test]
    fn a_ca_file_is_checked_before_it_is_needed() {
        let tls = |ca: Option<&str>| Parameters { xmpp_tls: Some("on".into()), xmpp_tls_ca: ca.map(Into::into), ..one() };
        assert!(refusal(&tls(None)).starts_with("parameter xmpp_tls_ca is not set; it takes the PEM file of the CA"));
        let sentence = refusal(&tls(Some("/does/not/exist")));
        assert!(sentence.starts_with("parameter xmpp_tls_ca is \"/does/not/exist: No such file"), "{sentence}");
        let sentence = refusal(&tls(Some("/dev/null")));
        assert!(sentence.starts_with("parameter xmpp_tls_ca is \"/dev/null: it has no certificate\"; it takes a file in PEM"));
        let parameters = Parameters { xmpp_tls: Some("yes".into()), ..one() };
        assert_eq!(refusal(&parameters), "parameter xmpp_tls is \"yes\"; it takes \"on\" or \"off\"");
    }

    #[test]
    fn pings_have_bounds_and_can_be_off() {
        let of = |interval, timeout| Parameters { ping_interval: interval, ping_timeout: timeout, ..one() };
        let ping = |parameters: &Parameters| components(parameters).unwrap().first().unwrap().ping;
        let seconds = Duration::from_secs;
        assert_eq!(ping(&of(None, None)), Some(Ping { interval: seconds(30), timeout: seconds(10) }));
        assert_eq!(ping(&of(Some(5), Some(3600))), Some(Ping { interval: seconds(5), timeout: seconds(3600) }));
        assert_eq!(ping(&of(Some(0), None)), None);
        assert!(refusal(&of(Some(-1), None)).starts_with("parameter ping_interval is \"-1\"; it takes seconds"));
        assert!(refusal(&of(None, Some(0))).starts_with("parameter ping_timeout is \"0\"; it takes seconds, from 1"));
    }
}
