//! What the operator set: raw module parameters become [`Config`] once, at start; nothing re-checks them later.
//!
//! The host layer fills [`Parameters`] as its parser meets each `modparam`; [`Config::from_parameters`] in mod_init either
//! accepts all of them or names the parameter, what it held and what it takes.

mod secret_file;

use std::fmt;
use std::net::IpAddr;

use jid::BareJid;

use crate::address::Addresses;
use crate::address::DomainPair;
use crate::address::Domains;
use crate::address::PeerDomains;
use crate::address::Scheme;
use crate::address::SchemeError;
use crate::sip::Uri;

/// Module parameters as the host's configuration parser delivers them: unchecked, `None` where not set.
#[derive(Debug, Default, Clone)]
#[allow(missing_docs, reason = "each field is the parameter of that name; see Config and module-docs")]
pub struct Parameters {
    pub backend: Option<String>,
    pub xmpp_domain: Option<String>,
    pub xmpp_host: Option<String>,
    pub xmpp_port: Option<i64>,
    pub xmpp_password: Option<Secret>,
    pub xmpp_password_file: Option<String>,
    pub gateway_domain: Option<String>,
    pub sip_domain: Option<String>,
    pub domain_separator: Option<String>,
    /// Repeatable: one entry a `modparam` line.
    pub gwmap: Vec<String>,
    pub outbound_proxy: Option<String>,
    pub server_address: Option<String>,
    pub presence_server: Option<String>,
    /// Repeatable, as `gwmap`.
    pub allow_domain: Vec<String>,
    /// Repeatable, as `gwmap`.
    pub deny_domain: Vec<String>,
    pub rate_limit: Option<i64>,
    pub rate_limit_domain: Option<i64>,
}

/// Everything the operator decided, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// How we reach the XMPP network.
    pub backend: Backend,
    /// How addresses of one side are written on the other.
    pub addresses: Addresses,
    /// Next hop of MESSAGE, SUBSCRIBE and PUBLISH; a SIP URI.
    pub outbound_proxy: Option<Uri>,
    /// Contact of our SUBSCRIBEs: where NOTIFYs come back to; a SIP URI.
    pub server_address: Uri,
    /// Next hop of SUBSCRIBE and PUBLISH, and the watcher of presence.winfo; a SIP URI.
    pub presence_server: Option<Uri>,
    /// How much SIP traffic XMPP users may cause.
    pub rate_limit: RateLimit,
}

/// SIP requests per second; 0: any number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// Of one bare JID (`rate_limit`).
    pub jid: u32,
    /// Of all users of one XMPP domain (`rate_limit_domain`).
    pub domain: u32,
}

/// How we reach the XMPP network.
#[derive(Debug, Clone)]
pub enum Backend {
    /// As a component of an XMPP server (XEP-0114).
    Component(Component),
}

/// A component connection.
#[derive(Debug, Clone)]
pub struct Component {
    /// Our domain on the XMPP side: `sip_domain` where it is set, else `xmpp_domain`.
    pub domain: String,
    /// Name or address of the XMPP server (`xmpp_host`).
    pub host: String,
    /// Its component port (`xmpp_port`).
    pub port: u16,
    /// The shared secret (`xmpp_password` or what `xmpp_password_file` holds).
    pub secret: Secret,
}

/// A password that no log shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps it.
    pub fn new(secret: String) -> Self {
        Self(secret)
    }

    /// The password itself, for the digest.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Secret {
    fn from(secret: &str) -> Self {
        Self(secret.to_owned())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(...)")
    }
}

/// A parameter that cannot be used. Display gives the whole sentence for the operator's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    parameter: &'static str,
    /// What it held; never that of a password.
    value: Option<String>,
    takes: &'static str,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => {
                write!(f, "parameter {} is \"{}\"; it takes {}", self.parameter, value.escape_debug(), self.takes)
            }
            None => write!(f, "parameter {} is not set; it takes {}", self.parameter, self.takes),
        }
    }
}

impl std::error::Error for Error {}

/// The port of component connections; IANA has registered none, every server uses this one.
pub const DEFAULT_COMPONENT_PORT: u16 = 5347;

/// A user at a keyboard sends a few stanzas a second; an alarm system in one name, tens.
const DEFAULT_RATE_LIMIT: u32 = 100;

const DEFAULT_RATE_LIMIT_DOMAIN: u32 = 1000;

const MAX_RATE_LIMIT: u32 = 1_000_000;

const DEFAULT_HOST: &str = "127.0.0.1";

const TAKES_DOMAIN: &str = "a domain name, as in \"sip.example.com\"";
const TAKES_URI: &str = "a SIP URI, as in \"sip:gateway@sip.example.com:5060\"";
const TAKES_SEPARATOR: &str = "one to eight ASCII characters that no domain has, as in \"*\"";
const TAKES_PEERS: &str = "domains of XMPP users, as in \"example.org\", or \"*.example.org\" for all domains under it";
const TAKES_MAP: &str = "pairs of domains, as in \"sip.example.com=xmpp.example.com;sip.example.org=example.org\", \
                         each domain once on its side";

impl Config {
    /// Checks all parameters; the first that cannot be used is the error.
    pub fn from_parameters(parameters: &Parameters) -> Result<Self, Error> {
        let backend = backend(parameters)?;
        let Backend::Component(component) = &backend;
        Ok(Self {
            addresses: addresses(parameters, component)?.with_peers(peers(parameters)?),
            rate_limit: RateLimit {
                jid: rate("rate_limit", parameters.rate_limit, DEFAULT_RATE_LIMIT)?,
                domain: rate("rate_limit_domain", parameters.rate_limit_domain, DEFAULT_RATE_LIMIT_DOMAIN)?,
            },
            outbound_proxy: optional_uri("outbound_proxy", parameters.outbound_proxy.as_deref())?,
            server_address: required("server_address", parameters.server_address.as_deref(), TAKES_URI)
                .and_then(|value| uri("server_address", value))?,
            presence_server: optional_uri("presence_server", parameters.presence_server.as_deref())?,
            backend,
        })
    }
}

fn backend(parameters: &Parameters) -> Result<Backend, Error> {
    match parameters.backend.as_deref() {
        None | Some("component") => {}
        Some(other) => {
            let takes = "\"component\" (XEP-0114); \"server\" (a server of our own, without an XMPP server beside it) does not \
                         exist yet";
            return Err(Error { parameter: "backend", value: Some(other.to_owned()), takes });
        }
    }
    let xmpp_domain = required("xmpp_domain", parameters.xmpp_domain.as_deref(), TAKES_DOMAIN)
        .and_then(|value| domain("xmpp_domain", value))?;
    let sip_domain = parameters.sip_domain.as_deref().map(|value| domain("sip_domain", value)).transpose()?;
    let host = parameters.xmpp_host.as_deref().unwrap_or(DEFAULT_HOST);
    Ok(Backend::Component(Component {
        domain: sip_domain.unwrap_or(xmpp_domain),
        host: if host.parse::<IpAddr>().is_ok() { host.to_owned() } else { domain("xmpp_host", host)? },
        port: port(parameters.xmpp_port)?,
        secret: secret(parameters)?,
    }))
}

fn secret(parameters: &Parameters) -> Result<Secret, Error> {
    match (parameters.xmpp_password.as_ref(), parameters.xmpp_password_file.as_deref()) {
        (Some(secret), None) if !secret.expose().is_empty() => Ok(secret.clone()),
        (None, Some(path)) => {
            let wrong = |takes| Error { parameter: "xmpp_password_file", value: Some(path.to_owned()), takes };
            secret_file::read(path).map_err(wrong)
        }
        (Some(_), Some(path)) => {
            let takes = "no value beside xmpp_password: the secret stands in the script or in a file";
            Err(Error { parameter: "xmpp_password_file", value: Some(path.to_owned()), takes })
        }
        (_, None) => {
            let takes =
                "the secret that the XMPP server holds for this component, or xmpp_password_file names a file that holds it";
            Err(Error { parameter: "xmpp_password", value: None, takes })
        }
    }
}

fn peers(parameters: &Parameters) -> Result<PeerDomains, Error> {
    let domains = |parameter, lines: &[String]| {
        let mut domains = Domains::default();
        for line in lines {
            let mut entries = line.split(';').map(str::trim).filter(|entry| !entry.is_empty()).peekable();
            if entries.peek().is_none() || !entries.all(|entry| domains.add(entry)) {
                return Err(Error { parameter, value: Some(line.clone()), takes: TAKES_PEERS });
            }
        }
        Ok(domains)
    };
    let allow = domains("allow_domain", &parameters.allow_domain)?;
    Ok(PeerDomains::new(allow, domains("deny_domain", &parameters.deny_domain)?))
}

fn rate(parameter: &'static str, given: Option<i64>, default: u32) -> Result<u32, Error> {
    let Some(given) = given else { return Ok(default) };
    let takes = "SIP requests per second, 1 to 1000000, or 0 for no limit";
    let wrong = Error { parameter, value: Some(given.to_string()), takes };
    u32::try_from(given).ok().filter(|rate| *rate <= MAX_RATE_LIMIT).ok_or(wrong)
}

fn port(port: Option<i64>) -> Result<u16, Error> {
    let Some(given) = port else { return Ok(DEFAULT_COMPONENT_PORT) };
    match u16::try_from(given) {
        Ok(port) if port != 0 => Ok(port),
        _ => Err(Error { parameter: "xmpp_port", value: Some(given.to_string()), takes: "a port number from 1 to 65535" }),
    }
}

/// Which of the schemes the parameters ask for.
fn addresses(parameters: &Parameters, component: &Component) -> Result<Addresses, Error> {
    let gateway_domain = parameters.gateway_domain.as_deref().map(|value| domain("gateway_domain", value)).transpose()?;
    let pairs = pairs(parameters, component)?;
    let scheme = match &parameters.domain_separator {
        Some(separator) => Scheme::Encoded {
            separator: separator.clone(),
            gateway_domain: gateway_domain.ok_or(Error {
                parameter: "gateway_domain",
                value: None,
                takes: "the SIP domain of the gateway, needed because domain_separator is set",
            })?,
            xmpp_domain: component.domain.clone(),
            pairs,
        },
        None if pairs.is_empty() => Scheme::Transparent,
        None => Scheme::Mapped(pairs),
    };
    let addresses = Addresses::new(scheme).map_err(|error| match error {
        SchemeError::Separator(value) => Error { parameter: "domain_separator", value: Some(value), takes: TAKES_SEPARATOR },
        SchemeError::Domain(value) | SchemeError::SipTwice(value) | SchemeError::XmppTwice(value) => {
            Error { parameter: "gwmap", value: Some(value), takes: TAKES_MAP }
        }
    })?;
    let domain = &component.domain;
    addresses.of_component(domain).map_err(|_| Error {
        parameter: "xmpp_domain",
        value: Some(domain.clone()),
        takes: TAKES_DOMAIN,
    })
}

fn pairs(parameters: &Parameters, component: &Component) -> Result<Vec<DomainPair>, Error> {
    let mut pairs = Vec::new();
    if let (Some(sip_domain), Some(sip)) = (&parameters.sip_domain, &parameters.xmpp_domain) {
        if parameters.domain_separator.is_some() {
            let takes = "no value beside domain_separator, which moves whole addresses into the user part";
            return Err(Error { parameter: "sip_domain", value: Some(sip_domain.clone()), takes });
        }
        // As in the stock modules: the SIP users of xmpp_domain have this domain in XMPP, and the component logs in under it.
        pairs.push(DomainPair { sip: domain("xmpp_domain", sip)?, xmpp: component.domain.clone() });
    }
    for line in &parameters.gwmap {
        let wrong = || Error { parameter: "gwmap", value: Some(line.clone()), takes: TAKES_MAP };
        for entry in line.split(';').map(str::trim).filter(|entry| !entry.is_empty()) {
            let (sip, xmpp) = entry.split_once('=').ok_or_else(wrong)?;
            let pair = DomainPair {
                sip: domain("gwmap", sip.trim()).map_err(|_| wrong())?,
                xmpp: domain("gwmap", xmpp.trim()).map_err(|_| wrong())?,
            };
            pairs.push(pair);
        }
    }
    Ok(pairs)
}

fn required<'a>(parameter: &'static str, value: Option<&'a str>, takes: &'static str) -> Result<&'a str, Error> {
    value.filter(|value| !value.is_empty()).ok_or(Error { parameter, value: None, takes })
}

fn domain(parameter: &'static str, value: &str) -> Result<String, Error> {
    let wrong = || Error { parameter, value: Some(value.to_owned()), takes: TAKES_DOMAIN };
    let jid = BareJid::new(value).map_err(|_| wrong())?;
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-');
    if jid.node().is_some() || !jid.domain().as_str().chars().all(plain) {
        return Err(wrong());
    }
    Ok(jid.domain().as_str().to_owned())
}

fn optional_uri(parameter: &'static str, value: Option<&str>) -> Result<Option<Uri>, Error> {
    value.map(|value| uri(parameter, value)).transpose()
}

/// A cheap check: the host parses it for real. It keeps what would break a header out of every header.
fn uri(parameter: &'static str, value: &str) -> Result<Uri, Error> {
    Uri::new(value.to_owned()).ok_or_else(|| Error { parameter, value: Some(value.to_owned()), takes: TAKES_URI })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::AddressError;

    fn minimal() -> Parameters {
        Parameters {
            xmpp_domain: Some("sip.example.com".into()),
            xmpp_password: Some("s3cret".into()),
            server_address: Some("sip:gw@sip.example.com".into()),
            ..Parameters::default()
        }
    }

    fn refusal(parameters: &Parameters) -> String {
        Config::from_parameters(parameters).unwrap_err().to_string()
    }

    #[test]
    fn three_parameters_are_enough() {
        let config = Config::from_parameters(&minimal()).unwrap();
        let Backend::Component(component) = config.backend;
        assert_eq!((component.host.as_str(), component.port), ("127.0.0.1", 5347));
        assert_eq!(config.addresses.sip_to_jid(b"sip:a@b.example").unwrap().as_str(), "a@b.example");
    }

    #[test]
    fn a_missing_password_is_named() {
        let parameters = Parameters { xmpp_password: None, ..minimal() };
        assert_eq!(
            refusal(&parameters),
            "parameter xmpp_password is not set; it takes the secret that the XMPP server holds for this component, or \
             xmpp_password_file names a file that holds it"
        );
    }

    #[test]
    fn the_server_backend_is_refused_with_what_exists() {
        let parameters = Parameters { backend: Some("server".into()), ..minimal() };
        assert!(refusal(&parameters).starts_with("parameter backend is \"server\"; it takes \"component\""));
    }

    #[test]
    fn a_port_out_of_range_is_named_with_its_value() {
        let parameters = Parameters { xmpp_port: Some(70_000), ..minimal() };
        assert_eq!(refusal(&parameters), "parameter xmpp_port is \"70000\"; it takes a port number from 1 to 65535");
    }

    #[test]
    fn a_map_with_a_domain_twice_is_refused() {
        let parameters = Parameters { gwmap: vec!["a.x=b.y;a.x=c.z".into()], ..minimal() };
        assert!(refusal(&parameters).starts_with("parameter gwmap is \"a.x\"; it takes pairs of domains"));
    }

    #[test]
    fn lines_of_gwmap_add_up() {
        let parameters = Parameters { gwmap: vec!["a.x = b.y; c.x=d.y;".into(), "e.x=f.y".into()], ..minimal() };
        let addresses = Config::from_parameters(&parameters).unwrap().addresses;
        for (sip, xmpp) in [("a.x", "b.y"), ("c.x", "d.y"), ("e.x", "f.y")] {
            let jid = addresses.sip_to_jid(format!("sip:user@{sip}").as_bytes()).unwrap();
            assert_eq!(jid.as_str(), format!("user@{xmpp}"));
        }
    }

    #[test]
    fn sip_domain_is_the_name_of_the_sip_users_in_xmpp() {
        let parameters =
            Parameters { xmpp_domain: Some("example.com".into()), sip_domain: Some("sip.example.com".into()), ..minimal() };
        let config = Config::from_parameters(&parameters).unwrap();
        let Backend::Component(component) = config.backend;
        assert_eq!(component.domain, "sip.example.com");
        let jid = config.addresses.sip_to_jid(b"sip:juliet@example.com").unwrap();
        assert_eq!(jid.as_str(), "juliet@sip.example.com");
        assert_eq!(config.addresses.jid_to_sip(&jid).unwrap(), "sip:juliet@example.com");
    }

    #[test]
    fn the_encoded_scheme_needs_its_gateway_domain() {
        let parameters = Parameters { domain_separator: Some("*".into()), ..minimal() };
        assert!(refusal(&parameters).starts_with("parameter gateway_domain is not set"));
    }

    #[test]
    fn a_separator_that_could_be_part_of_a_domain_is_refused() {
        for separator in ["a", "-", ".", "*.", "", " "] {
            let parameters = Parameters {
                domain_separator: Some(separator.into()),
                gateway_domain: Some("gw.example.com".into()),
                ..minimal()
            };
            assert!(refusal(&parameters).starts_with("parameter domain_separator"), "{separator}");
        }
    }

    #[test]
    fn a_uri_cannot_carry_a_header() {
        let parameters = Parameters { outbound_proxy: Some("sip:a\r\nX: y".into()), ..minimal() };
        assert!(refusal(&parameters).starts_with("parameter outbound_proxy is \"sip:a\\r\\nX: y\""));
    }

    #[test]
    fn no_debug_output_shows_the_password() {
        let config = Config::from_parameters(&minimal()).unwrap();
        assert!(!format!("{config:?}{:?}", minimal()).contains("s3cret"));
    }

    #[test]
    fn the_secret_stands_in_the_script_or_in_a_file() {
        let file = std::env::temp_dir().join(format!("xmpp_gateway-config-{}", std::process::id()));
        std::fs::write(&file, "from the file\n").unwrap();
        let path = file.to_str().unwrap().to_owned();
        let alone = Parameters { xmpp_password: None, xmpp_password_file: Some(path.clone()), ..minimal() };
        let both = Parameters { xmpp_password_file: Some(path), ..minimal() };
        let Backend::Component(component) = Config::from_parameters(&alone).unwrap().backend;
        assert_eq!(component.secret.expose(), "from the file");
        let said = refusal(&both);
        assert!(said.starts_with("parameter xmpp_password_file is \"") && said.contains("beside xmpp_password"), "{said}");
        std::fs::remove_file(&file).unwrap();
        let said = refusal(&alone);
        assert!(said.starts_with("parameter xmpp_password_file is \"") && said.contains("there is none"), "{said}");
    }

    #[test]
    fn a_limit_is_a_number_that_makes_sense() {
        let limit = |rate_limit, rate_limit_domain| Parameters { rate_limit, rate_limit_domain, ..minimal() };
        let of = |parameters: &Parameters| Config::from_parameters(parameters).unwrap().rate_limit;
        assert_eq!(of(&limit(None, None)), RateLimit { jid: 100, domain: 1000 });
        assert_eq!(of(&limit(Some(0), Some(1_000_000))), RateLimit { jid: 0, domain: 1_000_000 });
        for wrong in [-1, 1_000_001, i64::MAX] {
            let said = refusal(&limit(Some(wrong), None));
            assert!(
                said.starts_with(&format!("parameter rate_limit is \"{wrong}\"; it takes SIP requests per second")),
                "{said}"
            );
            assert!(refusal(&limit(None, Some(wrong))).starts_with("parameter rate_limit_domain is"));
        }
    }

    #[test]
    fn lines_of_domains_add_up_and_a_wrong_one_is_named() {
        let deny = |lines: &[&str]| Parameters { deny_domain: lines.iter().map(|line| (*line).into()).collect(), ..minimal() };
        let addresses = Config::from_parameters(&deny(&["a.x; *.b.x", "c.x"])).unwrap().addresses;
        for (domain, allowed) in [("a.x", false), ("b.x", true), ("sub.b.x", false), ("c.x", false), ("d.x", true)] {
            let uri = format!("sip:user@{domain}");
            let expected = if allowed { Ok(()) } else { Err(AddressError::Denied) };
            assert_eq!(addresses.xmpp_user_to_jid(uri.as_bytes()).map(drop), expected, "{domain}");
        }
        for wrong in ["*", "", ";", "a b.x", "user@a.x"] {
            assert!(
                refusal(&deny(&["a.x", wrong])).starts_with(&format!("parameter deny_domain is \"{wrong}\"; it takes domains"))
            );
        }
        let allow = Parameters { allow_domain: vec!["*.".into()], ..minimal() };
        assert!(refusal(&allow).starts_with("parameter allow_domain is \"*.\"; it takes domains of XMPP users"));
    }
}
