//! What the operator set: raw module parameters become [`Config`] once, at start; nothing re-checks them later.
//!
//! The host layer fills [`Parameters`] as its parser meets each `modparam`; [`Config::from_parameters`] in mod_init either
//! accepts all of them or names the parameter, what it held and what it takes.

mod address_table;
mod calls;
mod component;
mod contact_lamp;
mod dialog_event;
mod peers;
mod phones;
mod presence;
mod queue;
mod scheme;
mod secret;
mod server;
mod state_table;
mod without_effect;

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use jid::BareJid;

use crate::address::Addresses;
use crate::address::is_domain;
use crate::sip::Uri;

pub use self::address_table::AddressTable;
pub use self::calls::CallDocuments;
pub use self::calls::CallPresence;
pub use self::calls::Calls;
pub use self::calls::DialogMode;
pub use self::component::Component;
pub use self::component::DEFAULT_COMPONENT_PORT;
pub use self::component::MAX_COMPONENTS;
pub use self::component::Ping;
pub use self::component::Tls;
pub use self::contact_lamp::ContactLamp;
pub use self::contact_lamp::ContactState;
pub use self::dialog_event::DialogEvent;
pub use self::peers::RateLimit;
pub use self::phones::Phones;
pub use self::presence::PresenceComposition;
pub use self::presence::PresenceMode;
pub use self::queue::MOST_QUEUED;
pub use self::queue::Queue;
pub use self::secret::Secret;
pub use self::server::Server;
pub use self::state_table::StateTable;
pub use self::without_effect::none_of_kamailio;
pub use self::without_effect::without_effect;

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
    pub dialog_event: Option<i64>,
    pub default_expires: Option<i64>,
    pub force_single_dialog: Option<i64>,
    pub force_dummy_dialog: Option<i64>,
    pub single_dialog_order: Option<String>,
    /// Repeatable, as `gwmap`.
    pub dialog_profile: Vec<String>,
    pub contact_lamp: Option<String>,
    pub presence_composition: Option<String>,
    pub waiting_subs_daysno: Option<i64>,
    pub ask_again_interval: Option<i64>,
    pub notify_interval: Option<i64>,
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
    pub dialog_mode: Option<String>,
    pub include_callid: Option<i64>,
    pub include_tags: Option<i64>,
    pub include_localremote: Option<i64>,
    pub caller_confirmed: Option<i64>,
    pub publish_on_trying: Option<i64>,
    pub dialog_ring_time: Option<i64>,
    pub override_lifetime: Option<i64>,
    pub caller_spec_param: Option<String>,
    pub callee_spec_param: Option<String>,
    pub nopublish_flag: Option<String>,
    pub include_req_uri: Option<i64>,
    pub send_publish_flag: Option<i64>,
    pub disable_caller_publish_flag: Option<i64>,
    pub disable_callee_publish_flag: Option<i64>,
    pub call_presence: Option<i64>,
    pub call_status_ringing: Option<String>,
    pub call_status_talking: Option<String>,
    pub call_status_hold: Option<String>,
    pub call_remote_party: Option<i64>,
    pub store: Option<i64>,
    pub state_table: Option<String>,
    pub phone_state: Option<i64>,
    pub account_table: Option<String>,
    pub login_rate: Option<i64>,
    pub bosh_ca: Option<String>,
    pub bosh_allow_plain: Option<i64>,
    pub phone_priority: Option<i64>,
    pub phone_online_status: Option<String>,
    pub phone_ringing_status: Option<String>,
    pub phone_call_show: Option<String>,
    pub phone_call_status: Option<String>,
    pub phone_hold_status: Option<String>,
    pub phone_state_poll: Option<i64>,
    pub phone_state_table: Option<String>,
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
    /// The event package "dialog" of this SIP server's presence server; `None`: it is none of ours.
    pub dialog_event: Option<DialogEvent>,
    /// What lights the lamp of a phone that watches an XMPP user; `None`: there is no such lamp.
    pub contact_lamp: Option<ContactLamp>,
    /// What SIP users are shown of an XMPP user with several resources.
    pub presence_composition: PresenceComposition,
    /// How long an XMPP user is waited for who was asked about a SIP watcher (`waiting_subs_daysno`).
    pub waiting_subs: Duration,
    /// How long the refusal of an XMPP user stands before a new SUBSCRIBE is put to it again (`ask_again_interval`); `None`: for ever.
    pub ask_again: Option<Duration>,
    /// The shortest time between two NOTIFYs of a new state in one dialog (`notify_interval`).
    pub notify_interval: Duration,
    /// How much SIP traffic XMPP users may cause.
    pub rate_limit: RateLimit,
    /// What waits while the XMPP server is not connected.
    pub queue: Queue,
    /// Where users stand whose address the operator chose (`db_url`, `address_table`); `None`: the scheme is for all.
    pub address_table: Option<AddressTable>,
    /// Which calls are shown as dialogs, and how.
    pub calls: Calls,
    /// Where stands what is to survive a restart (`store`, `state_table`); `None`: nothing is.
    pub state_table: Option<StateTable>,
    /// Which phones are shown in their users' own XMPP accounts, and how (`phone_state`); `None`: none.
    pub phones: Option<Phones>,
}

/// How we reach the XMPP network.
#[derive(Debug, Clone)]
pub enum Backend {
    /// As components of XMPP servers (XEP-0114); at least one.
    Components(Vec<Component>),
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

const TAKES_DOMAIN: &str = "a domain name, as in \"sip.example.com\"";
const TAKES_URI: &str = "a SIP URI, as in \"sip:gateway@sip.example.com:5060\"";

impl Config {
    /// Checks all parameters; the first that cannot be used is the error.
    pub fn from_parameters(parameters: &Parameters) -> Result<Self, Error> {
        let backend = backend(parameters)?;
        let Backend::Components(components) = &backend;
        Ok(Self {
            addresses: scheme::addresses(parameters, components)?.with_peers(peers::domains(parameters)?),
            rate_limit: peers::rate_limit(parameters)?,
            outbound_proxy: optional_uri("outbound_proxy", parameters.outbound_proxy.as_deref())?,
            server_address: required("server_address", parameters.server_address.as_deref(), TAKES_URI)
                .and_then(|value| uri("server_address", value))?,
            presence_server: optional_uri("presence_server", parameters.presence_server.as_deref())?,
            presence_mode: presence::mode(parameters)?,
            dialog_event: dialog_event::dialog_event(parameters)?,
            contact_lamp: contact_lamp::contact_lamp(parameters)?,
            presence_composition: presence::composition(parameters)?,
            waiting_subs: presence::waiting_subs(parameters)?,
            ask_again: presence::ask_again(parameters)?,
            notify_interval: presence::notify_interval(parameters)?,
            queue: queue::queue(parameters)?,
            address_table: address_table::address_table(parameters)?,
            calls: calls::calls(parameters)?,
            state_table: state_table::state_table(parameters)?,
            phones: phones::phones(parameters)?,
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

fn required<'a>(parameter: &'static str, value: Option<&'a str>, takes: &'static str) -> Result<&'a str, Error> {
    value.filter(|value| !value.is_empty()).ok_or(Error { parameter, value: None, takes })
}

fn domain(parameter: &'static str, value: &str) -> Result<String, Error> {
    let wrong = || Error { parameter, value: Some(value.to_owned()), takes: TAKES_DOMAIN };
    let jid = BareJid::new(value).map_err(|_| wrong())?;
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-');
    if jid.node().is_some() || !jid.domain().as_str().chars().all(plain) || !is_domain(jid.domain().as_str()) {
        return Err(wrong());
    }
    Ok(jid.domain().as_str().to_owned())
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

fn optional_uri(parameter: &'static str, value: Option<&str>) -> Result<Option<Uri>, Error> {
    value.map(|value| uri(parameter, value)).transpose()
}

/// A cheap check: the host parses it for real. It keeps what would break a header out of every header.
fn uri(parameter: &'static str, value: &str) -> Result<Uri, Error> {
    Uri::new(value.to_owned()).ok_or_else(|| Error { parameter, value: Some(value.to_owned()), takes: TAKES_URI })
}

#[cfg(test)]
mod tests;
