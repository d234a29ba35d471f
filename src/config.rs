//! What the operator set: raw module parameters become [`Config`] once, at start; nothing re-checks them later.
//!
//! The host layer fills [`Parameters`] as its parser meets each `modparam`; [`Config::from_parameters`] in mod_init either
//! accepts all of them or names the parameter, what it held and what it takes.

mod component;
mod peers;
mod secret;
mod server;

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use jid::BareJid;

use crate::address::Addresses;
use crate::address::DomainPair;
use crate::address::Scheme;
use crate::address::SchemeError;
use crate::sip::Uri;

pub use self::component::Component;
pub use self::component::DEFAULT_COMPONENT_PORT;
pub use self::component::MAX_COMPONENTS;
pub use self::component::Ping;
pub use self::component::Tls;
pub use self::peers::RateLimit;
pub use self::server::Server;

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
    pub xmpp_tls: Option<String>,
    pub xmpp_tls_ca: Option<String>,
    /// Repeatable: one component a `modparam` line.
    pub xmpp_component: Vec<Secret>,
    pub ping_interval: Option<i64>,
    pub ping_timeout: Option<i64>,
    pub gateway_domain: Option<String>,
    pub sip_domain: Option<String>,
    pub domain_separator: Option<String>,
    /// Repeatable: one entry a `modparam` line.
    pub gwmap: Vec<String>,
    pub tel_domain: Option<String>,
    pub outbound_proxy: Option<String>,
    pub server_address: Option<String>,
    pub presence_server: Option<String>,
    pub presence_mode: Option<String>,
    /// Repeatable, as `gwmap`.
    pub allow_domain: Vec<String>,
    /// Repeatable, as `gwmap`.
    pub deny_domain: Vec<String>,
    pub rate_limit: Option<i64>,
    pub rate_limit_domain: Option<i64>,
    pub queue_size: Option<i64>,
    pub queue_ttl: Option<i64>,
    pub db_url: Option<Secret>,
    pub address_table: Option<String>,
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
    /// How the presence of XMPP users reaches the presence server, and the questions of their watchers the gateway.
    pub presence_mode: PresenceMode,
    /// How much SIP traffic XMPP users may cause.
    pub rate_limit: RateLimit,
    /// What waits while the XMPP server is not connected.
    pub queue: Queue,
    /// Where users stand whose address the operator chose (`db_url`, `address_table`); `None`: the scheme is for all.
    pub address_table: Option<AddressTable>,
}

/// Where SIP users find the presence of XMPP users (`presence_mode`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PresenceMode {
    /// At any presence server: pua sends PUBLISH, and a script tells of watchers by `pua_xmpp_req_winfo()`.
    Pua,
    /// At the one of this server: no SIP request between it and the gateway.
    Local,
}

/// How much waits for the XMPP server, and how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Queue {
    /// Stanzas a peer domain (`queue_size`); 0: none waits, what cannot be sent at once is refused.
    pub size: u32,
    /// How long one waits (`queue_ttl`).
    pub ttl: Duration,
}

/// A table of the host's database.
#[derive(Debug, Clone)]
pub struct AddressTable {
    /// The host's database URL: it holds a password, mostly.
    pub url: Secret,
    /// The table's name.
    pub name: String,
}

/// How we reach the XMPP network.
#[derive(Debug, Clone)]
pub enum Backend {
    /// As components of XMPP servers (XEP-0114); at least one.
    Components(Vec<Component>),
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

/// The table of mapped users, where `address_table` is not set.
const DEFAULT_ADDRESS_TABLE: &str = "xmpp_address";

/// The longest name of a table in the databases that there are.
const MAX_TABLE_NAME: usize = 63;

/// Stanzas that wait for one peer domain, unless the operator says otherwise.
pub const DEFAULT_QUEUE_SIZE: u32 = 1000;

/// Seconds that one waits, unless the operator says otherwise: longer than the longest pause between two tries to connect.
pub const DEFAULT_QUEUE_TTL: u32 = 300;

/// The most that `queue_size` takes, and that waits for all peer domains together.
pub const MOST_QUEUED: u32 = 65_536;

/// The most that `queue_ttl` takes: a day. The sender of a message has been told "accepted".
const LONGEST_QUEUE_TTL: u32 = 86_400;

const TAKES_DOMAIN: &str = "a domain name, as in \"sip.example.com\"";
const TAKES_URI: &str = "a SIP URI, as in \"sip:gateway@sip.example.com:5060\"";
const TAKES_QUEUE_SIZE: &str = "the number of stanzas that may wait for one XMPP domain, from 0 (none waits) to 65536";
const TAKES_QUEUE_TTL: &str = "the seconds that a stanza may wait, from 1 to 86400";
const TAKES_SEPARATOR: &str = "one to eight ASCII characters that no domain has, as in \"*\"";
const TAKES_MAP: &str = "pairs of domains, as in \"sip.example.com=xmpp.example.com;sip.example.org=example.org\", \
                         each domain once on its side";

impl Config {
    /// Checks all parameters; the first that cannot be used is the error.
    pub fn from_parameters(parameters: &Parameters) -> Result<Self, Error> {
        let backend = backend(parameters)?;
        let Backend::Components(components) = &backend;
        Ok(Self {
            addresses: addresses(parameters, components)?.with_peers(peers::domains(parameters)?),
            rate_limit: peers::rate_limit(parameters)?,
            outbound_proxy: optional_uri("outbound_proxy", parameters.outbound_proxy.as_deref())?,
            server_address: required("server_address", parameters.server_address.as_deref(), TAKES_URI)
                .and_then(|value| uri("server_address", value))?,
            presence_server: optional_uri("presence_server", parameters.presence_server.as_deref())?,
            presence_mode: presence_mode(parameters)?,
            queue: queue(parameters)?,
            address_table: address_table(parameters)?,
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
    Ok(Backend::Components(component::components(parameters)?))
}

fn presence_mode(parameters: &Parameters) -> Result<PresenceMode, Error> {
    match parameters.presence_mode.as_deref() {
        None | Some("pua") => Ok(PresenceMode::Pua),
        Some("local") => Ok(PresenceMode::Local),
        Some(other) => {
            let takes = "\"pua\" (PUBLISH to the presence server) or \"local\" (the presence server of this SIP server, without SIP between)";
            Err(Error { parameter: "presence_mode", value: Some(other.to_owned()), takes })
        }
    }
}

fn queue(parameters: &Parameters) -> Result<Queue, Error> {
    let size = number("queue_size", parameters.queue_size, 0..=MOST_QUEUED, DEFAULT_QUEUE_SIZE, TAKES_QUEUE_SIZE)?;
    let ttl = number("queue_ttl", parameters.queue_ttl, 1..=LONGEST_QUEUE_TTL, DEFAULT_QUEUE_TTL, TAKES_QUEUE_TTL)?;
    Ok(Queue { size, ttl: Duration::from_secs(ttl.into()) })
}

fn number(
    parameter: &'static str,
    given: Option<i64>,
    range: RangeInclusive<u32>,
    default: u32,
    takes: &'static str,
) -> Result<u32, Error> {
    let Some(given) = given else { return Ok(default) };
    let wrong = Error { parameter, value: Some(given.to_string()), takes };
    u32::try_from(given).ok().filter(|number| range.contains(number)).ok_or(wrong)
}

/// Which of the schemes the parameters ask for.
fn addresses(parameters: &Parameters, components: &[Component]) -> Result<Addresses, Error> {
    let gateway_domain = parameters.gateway_domain.as_deref().map(|value| domain("gateway_domain", value)).transpose()?;
    let pairs = pairs(parameters)?;
    let scheme = match &parameters.domain_separator {
        Some(separator) => Scheme::Encoded {
            separator: separator.clone(),
            gateway_domain: gateway_domain.ok_or(Error {
                parameter: "gateway_domain",
                value: None,
                takes: "the SIP domain of the gateway, needed because domain_separator is set",
            })?,
            xmpp_domain: required("xmpp_domain", parameters.xmpp_domain.as_deref(), TAKES_DOMAIN)
                .and_then(|value| domain("xmpp_domain", value))?,
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
    let addresses = components.iter().try_fold(addresses, |addresses, Component { domain, .. }| {
        addresses.of_component(domain).map_err(|_| Error {
            parameter: "xmpp_domain",
            value: Some(domain.clone()),
            takes: TAKES_DOMAIN,
        })
    })?;
    match &parameters.tel_domain {
        None => Ok(addresses),
        Some(tel) => addresses.with_tel_domain(tel).map_err(|_| Error {
            parameter: "tel_domain",
            value: Some(tel.clone()),
            takes: TAKES_DOMAIN,
        }),
    }
}

fn pairs(parameters: &Parameters) -> Result<Vec<DomainPair>, Error> {
    let mut pairs = Vec::new();
    if let (Some(sip_domain), Some(sip)) = (&parameters.sip_domain, &parameters.xmpp_domain) {
        if parameters.domain_separator.is_some() {
            let takes = "no value beside domain_separator, which moves whole addresses into the user part";
            return Err(Error { parameter: "sip_domain", value: Some(sip_domain.clone()), takes });
        }
        // As in the stock modules: the SIP users of xmpp_domain have this domain in XMPP, and the component logs in under it.
        pairs.push(DomainPair { sip: domain("xmpp_domain", sip)?, xmpp: domain("sip_domain", sip_domain)? });
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

fn address_table(parameters: &Parameters) -> Result<Option<AddressTable>, Error> {
    let Some(url) = &parameters.db_url else { return Ok(None) };
    let is_url = url
        .expose()
        .split_once(':')
        .is_some_and(|(driver, _)| !driver.is_empty() && driver.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'));
    if !is_url {
        // It may hold a password all the same.
        let takes = "a database URL, as in \"mysql://user:password@localhost/kamailio\" or \"sqlite:///var/lib/kamailio.sqlite\"";
        return Err(Error { parameter: "db_url", value: Some("(not shown)".to_owned()), takes });
    }
    let name = parameters.address_table.as_deref().unwrap_or(DEFAULT_ADDRESS_TABLE);
    // It becomes part of a query.
    if name.is_empty() || name.len() > MAX_TABLE_NAME || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        let takes = "the name of a table: 1 to 63 letters, digits and underscores";
        return Err(Error { parameter: "address_table", value: Some(name.to_owned()), takes });
    }
    Ok(Some(AddressTable { url: url.clone(), name: name.to_owned() }))
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

    pub(super) fn minimal() -> Parameters {
        Parameters {
            xmpp_domain: Some("sip.example.com".into()),
            xmpp_password: Some("s3cret".into()),
            server_address: Some("sip:gw@sip.example.com".into()),
            ..Parameters::default()
        }
    }

    pub(super) fn refusal(parameters: &Parameters) -> String {
        Config::from_parameters(parameters).unwrap_err().to_string()
    }

    #[test]
    fn three_parameters_are_enough() {
        let config = Config::from_parameters(&minimal()).unwrap();
        let Backend::Components(components) = &config.backend;
        assert_eq!(components.first().unwrap().servers, [Server { host: "127.0.0.1".into(), port: 5347 }]);
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
    fn the_queue_has_bounds_that_are_named() {
        let queue = |size, ttl| Parameters { queue_size: size, queue_ttl: ttl, ..minimal() };
        let given = Config::from_parameters(&queue(Some(0), Some(86_400))).unwrap().queue;
        assert_eq!(given, Queue { size: 0, ttl: Duration::from_secs(86_400) });
        let default = Config::from_parameters(&queue(None, None)).unwrap().queue;
        assert_eq!(default, Queue { size: 1000, ttl: Duration::from_secs(300) });
        for (size, ttl, wanted) in [
            (Some(-1), None, "parameter queue_size is \"-1\"; it takes the number of stanzas"),
            (Some(65_537), None, "parameter queue_size is \"65537\"; it takes the number of stanzas"),
            (None, Some(0), "parameter queue_ttl is \"0\"; it takes the seconds"),
            (None, Some(86_401), "parameter queue_ttl is \"86401\"; it takes the seconds"),
        ] {
            assert!(refusal(&queue(size, ttl)).starts_with(wanted));
        }
    }

    #[test]
    fn presence_goes_through_pua_unless_it_is_local() {
        let mode = |mode: Option<&str>| Parameters { presence_mode: mode.map(str::to_owned), ..minimal() };
        for (given, wanted) in [(None, PresenceMode::Pua), (Some("pua"), PresenceMode::Pua), (Some("local"), PresenceMode::Local)]
        {
            assert_eq!(Config::from_parameters(&mode(given)).unwrap().presence_mode, wanted);
        }
        assert!(refusal(&mode(Some("Local"))).starts_with("parameter presence_mode is \"Local\"; it takes \"pua\""));
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
        let Backend::Components(components) = &config.backend;
        assert_eq!(components.first().unwrap().domain, "sip.example.com");
        let jid = config.addresses.sip_to_jid(b"sip:juliet@example.com").unwrap();
        assert_eq!(jid.as_str(), "juliet@sip.example.com");
        assert_eq!(config.addresses.jid_to_sip(&jid).unwrap(), "sip:juliet@example.com");
    }

    #[test]
    fn tel_domain_is_the_domain_of_telephone_numbers() {
        let parameters = Parameters { tel_domain: Some("Sip.Example.com".into()), ..minimal() };
        let addresses = Config::from_parameters(&parameters).unwrap().addresses;
        assert_eq!(addresses.sip_to_jid(b"tel:+1-201-555-0123").unwrap().as_str(), "+12015550123@sip.example.com");
        let parameters = Parameters { tel_domain: Some("not a domain".into()), ..minimal() };
        assert_eq!(
            refusal(&parameters),
            "parameter tel_domain is \"not a domain\"; it takes a domain name, as in \"sip.example.com\""
        );
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
    fn no_debug_output_shows_a_password() {
        let parameters = Parameters { db_url: Some("mysql://us:s3cret@localhost/db".into()), ..minimal() };
        let config = Config::from_parameters(&parameters).unwrap();
        assert!(!format!("{config:?}{parameters:?}").contains("s3cret"));
    }

    #[test]
    fn without_a_database_there_is_no_table() {
        let parameters = Parameters { address_table: Some("xmpp_address".into()), ..minimal() };
        assert!(Config::from_parameters(&parameters).unwrap().address_table.is_none());
    }

    #[test]
    fn the_table_has_a_name_of_its_own_or_the_usual_one() {
        for (given, name) in [(None, "xmpp_address"), (Some("names_2"), "names_2")] {
            let (db_url, address_table) = (Some("sqlite:///db".into()), given.map(str::to_owned));
            let config = Config::from_parameters(&Parameters { db_url, address_table, ..minimal() }).unwrap();
            assert_eq!(config.address_table.unwrap().name, name);
        }
    }

    #[test]
    fn a_table_is_no_place_for_sql() {
        for name in ["", "a b", "a;drop table b", "a'", "\"a\"", "a--", &"a".repeat(64)] {
            let parameters = Parameters { db_url: Some("sqlite:///db".into()), address_table: Some(name.into()), ..minimal() };
            assert!(refusal(&parameters).starts_with("parameter address_table is \""), "{name}");
        }
    }

    #[test]
    fn a_database_that_is_no_url_is_not_shown() {
        for url in ["", "s3cret", ":s3cret", "my sql://s3cret"] {
            let refusal = refusal(&Parameters { db_url: Some(url.into()), ..minimal() });
            assert!(refusal.starts_with("parameter db_url is \"(not shown)\"; it takes a database URL"), "{refusal}");
        }
    }
}
