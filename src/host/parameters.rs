//! Module parameters: a host's parser calls one function a `modparam` line, long before mod_init.
//!
//! Each parameter is exported twice, as text and as number, so that the wrong type reaches us and the operator reads which
//! parameter it was, what it held and what it takes. What the values mean is checked by [`Config`](crate::config::Config).

use std::ffi::CStr;
use std::fmt;
use std::mem;
use std::sync::Mutex;
use std::sync::PoisonError;

use crate::config;
use crate::config::Secret;

/// One parameter.
pub(super) struct Parameter {
    /// As the operator writes it.
    pub(super) name: &'static CStr,
    set: Set,
}

/// The type it takes, and where it goes.
enum Set {
    Text(fn(&mut config::Parameters, String)),
    Number(fn(&mut config::Parameters, i64)),
    /// Text that no log line shows, not even where it is wrong.
    Secret(fn(&mut config::Parameters, Secret)),
}

/// What a `modparam` line holds.
#[derive(Debug, Clone, Copy)]
pub(super) enum Given<'a> {
    Text(&'a [u8]),
    Number(i64),
}

/// All of them, in the order of module-docs.
pub(super) static PARAMETERS: &[Parameter] = &[
    text(c"backend", |all, value| all.backend = Some(value)),
    text(c"xmpp_domain", |all, value| all.xmpp_domain = Some(value)),
    text(c"xmpp_host", |all, value| all.xmpp_host = Some(value)),
    number(c"xmpp_port", |all, value| all.xmpp_port = Some(value)),
    secret(c"xmpp_password", |all, value| all.xmpp_password = Some(value)),
    text(c"xmpp_password_file", |all, value| all.xmpp_password_file = Some(value)),
    text(c"xmpp_tls", |all, value| all.xmpp_tls = Some(value)),
    text(c"xmpp_tls_ca", |all, value| all.xmpp_tls_ca = Some(value)),
    secret(c"xmpp_component", |all, value| all.xmpp_component.push(value)),
    number(c"ping_interval", |all, value| all.ping_interval = Some(value)),
    number(c"ping_timeout", |all, value| all.ping_timeout = Some(value)),
    text(c"gateway_domain", |all, value| all.gateway_domain = Some(value)),
    text(c"sip_domain", |all, value| all.sip_domain = Some(value)),
    text(c"domain_separator", |all, value| all.domain_separator = Some(value)),
    text(c"gwmap", |all, value| all.gwmap.push(value)),
    text(c"tel_domain", |all, value| all.tel_domain = Some(value)),
    text(c"outbound_proxy", |all, value| all.outbound_proxy = Some(value)),
    text(c"server_address", |all, value| all.server_address = Some(value)),
    text(c"presence_server", |all, value| all.presence_server = Some(value)),
    text(c"presence_mode", |all, value| all.presence_mode = Some(value)),
    number(c"dialog_event", |all, value| all.dialog_event = Some(value)),
    number(c"default_expires", |all, value| all.default_expires = Some(value)),
    number(c"force_single_dialog", |all, value| all.force_single_dialog = Some(value)),
    number(c"force_dummy_dialog", |all, value| all.force_dummy_dialog = Some(value)),
    text(c"single_dialog_order", |all, value| all.single_dialog_order = Some(value)),
    text(c"dialog_profile", |all, value| all.dialog_profile.push(value)),
    text(c"contact_lamp", |all, value| all.contact_lamp = Some(value)),
    text(c"presence_composition", |all, value| all.presence_composition = Some(value)),
    number(c"waiting_subs_daysno", |all, value| all.waiting_subs_daysno = Some(value)),
    number(c"ask_again_interval", |all, value| all.ask_again_interval = Some(value)),
    number(c"notify_interval", |all, value| all.notify_interval = Some(value)),
    text(c"allow_domain", |all, value| all.allow_domain.push(value)),
    text(c"deny_domain", |all, value| all.deny_domain.push(value)),
    number(c"rate_limit", |all, value| all.rate_limit = Some(value)),
    number(c"rate_limit_domain", |all, value| all.rate_limit_domain = Some(value)),
    number(c"queue_size", |all, value| all.queue_size = Some(value)),
    number(c"queue_ttl", |all, value| all.queue_ttl = Some(value)),
    secret(c"db_url", |all, value| all.db_url = Some(value)),
    text(c"address_table", |all, value| all.address_table = Some(value)),
    text(c"dialog_mode", |all, value| all.dialog_mode = Some(value)),
    number(c"include_callid", |all, value| all.include_callid = Some(value)),
    number(c"include_tags", |all, value| all.include_tags = Some(value)),
    number(c"include_localremote", |all, value| all.include_localremote = Some(value)),
    number(c"caller_confirmed", |all, value| all.caller_confirmed = Some(value)),
    number(c"publish_on_trying", |all, value| all.publish_on_trying = Some(value)),
    number(c"dialog_ring_time", |all, value| all.dialog_ring_time = Some(value)),
    number(c"override_lifetime", |all, value| all.override_lifetime = Some(value)),
    text(c"caller_spec_param", |all, value| all.caller_spec_param = Some(value)),
    text(c"callee_spec_param", |all, value| all.callee_spec_param = Some(value)),
    text(c"nopublish_flag", |all, value| all.nopublish_flag = Some(value)),
    number(c"include_req_uri", |all, value| all.include_req_uri = Some(value)),
    number(c"send_publish_flag", |all, value| all.send_publish_flag = Some(value)),
    number(c"disable_caller_publish_flag", |all, value| all.disable_caller_publish_flag = Some(value)),
    number(c"disable_callee_publish_flag", |all, value| all.disable_callee_publish_flag = Some(value)),
    number(c"store", |all, value| all.store = Some(value)),
    text(c"state_table", |all, value| all.state_table = Some(value)),
    number(c"call_presence", |all, value| all.call_presence = Some(value)),
    text(c"call_status_ringing", |all, value| all.call_status_ringing = Some(value)),
    text(c"call_status_talking", |all, value| all.call_status_talking = Some(value)),
    text(c"call_status_hold", |all, value| all.call_status_hold = Some(value)),
    number(c"call_remote_party", |all, value| all.call_remote_party = Some(value)),
    number(c"phone_state", |all, value| all.phone_state = Some(value)),
    text(c"account_table", |all, value| all.account_table = Some(value)),
    number(c"login_rate", |all, value| all.login_rate = Some(value)),
    text(c"bosh_ca", |all, value| all.bosh_ca = Some(value)),
    number(c"bosh_allow_plain", |all, value| all.bosh_allow_plain = Some(value)),
    number(c"phone_priority", |all, value| all.phone_priority = Some(value)),
    text(c"phone_online_status", |all, value| all.phone_online_status = Some(value)),
    text(c"phone_ringing_status", |all, value| all.phone_ringing_status = Some(value)),
    text(c"phone_call_show", |all, value| all.phone_call_show = Some(value)),
    text(c"phone_call_status", |all, value| all.phone_call_status = Some(value)),
    text(c"phone_hold_status", |all, value| all.phone_hold_status = Some(value)),
    number(c"phone_state_poll", |all, value| all.phone_state_poll = Some(value)),
    text(c"phone_state_table", |all, value| all.phone_state_table = Some(value)),
];

/// Entries of a host's table of parameters, the end of the table among them.
pub(super) const ENTRIES: usize = 128;

const _: () = assert!(PARAMETERS.len() < ENTRIES);

/// A host's table. A host calls a function for a parameter without saying which it is for, so each has one of its own: `$entry::<INDEX>()`
/// makes the entry of that parameter and, behind the last one, the end of the table.
#[cfg_attr(not(any(host = "kamailio", host = "opensips")), allow(unused_macros, reason = "the hosts' tables"))]
macro_rules! table {
    ($entry:ident) => {
        $crate::host::parameters::table!($entry @
            0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32 33 34 35 36 37 38 39 40 41 42 43
            44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59 60 61 62 63 64 65 66 67 68 69 70 71 72 73 74 75 76 77 78 79 80 81 82 83 84 85 86
            87 88 89 90 91 92 93 94 95 96 97 98 99 100 101 102 103 104 105 106 107 108 109 110 111 112 113 114 115 116 117 118 119 120 121 122
            123 124 125 126 127)
    };
    ($entry:ident @ $($index:literal)*) => { [$($entry::<$index>()),*] };
}

#[cfg_attr(not(any(host = "kamailio", host = "opensips")), allow(unused_imports, reason = "the hosts' tables"))]
pub(super) use table;

const fn text(name: &'static CStr, set: fn(&mut config::Parameters, String)) -> Parameter {
    Parameter { name, set: Set::Text(set) }
}

const fn secret(name: &'static CStr, set: fn(&mut config::Parameters, Secret)) -> Parameter {
    Parameter { name, set: Set::Secret(set) }
}

const fn number(name: &'static CStr, set: fn(&mut config::Parameters, i64)) -> Parameter {
    Parameter { name, set: Set::Number(set) }
}

/// What the parser has delivered so far. It runs alone, before any fork.
static GIVEN: Mutex<Option<config::Parameters>> = Mutex::new(None);

/// Hands all parameters to mod_init, and tells of those that do nothing.
pub(super) fn taken() -> config::Parameters {
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    let given = mem::take(&mut *given).unwrap_or_default();
    for (name, why) in config::without_effect(&given) {
        log::warn!("parameter {name} has no effect: {why}");
    }
    given
}

/// Takes one `modparam` line, for the parameter of this index.
pub(super) fn take(index: usize, given: Given<'_>) -> Result<(), Refusal> {
    let parameter = PARAMETERS.get(index).ok_or(Refusal::Unknown)?;
    let mut all = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    set(all.get_or_insert_default(), parameter, given)
}

fn set(all: &mut config::Parameters, parameter: &Parameter, given: Given<'_>) -> Result<(), Refusal> {
    let name = parameter.name;
    match (&parameter.set, given) {
        (Set::Text(set), Given::Text(value)) => {
            let text = str::from_utf8(value).map_err(|_| Refusal::Encoding(name, value.escape_ascii().to_string()))?;
            set(all, text.to_owned());
        }
        (Set::Number(set), Given::Number(value)) => set(all, value),
        (Set::Secret(set), given) => {
            let text = match given {
                Given::Text(value) => str::from_utf8(value).ok(),
                Given::Number(_) => None,
            };
            // An empty one is refused by mod_init, should the host go on.
            set(all, text.unwrap_or_default().into());
            text.ok_or(Refusal::Secret(name))?;
        }
        (Set::Text(_), Given::Number(value)) => return Err(Refusal::Number(name, value)),
        (Set::Number(_), Given::Text(value)) => return Err(Refusal::Text(name, value.escape_ascii().to_string())),
    }
    Ok(())
}

/// Why a line was not taken. Display gives the whole sentence for the operator's log.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Text where a number belongs.
    Text(&'static CStr, String),
    /// A number where text belongs.
    Number(&'static CStr, i64),
    /// Text that is no UTF-8.
    Encoding(&'static CStr, String),
    /// A secret that is no text, or no UTF-8. It may be one all the same: nobody is to log the line.
    Secret(&'static CStr),
    /// No such index.
    Unknown,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(name, held) => {
                write!(f, "parameter {} is \"{held}\"; it takes a number without quotes", name.to_string_lossy())
            }
            Self::Number(name, held) => {
                write!(f, "parameter {} is the number {held}; it takes text in quotes", name.to_string_lossy())
            }
            Self::Encoding(name, held) => write!(f, "parameter {} is \"{held}\"; it takes text in UTF-8", name.to_string_lossy()),
            Self::Secret(name) => {
                write!(f, "parameter {} is no UTF-8 text in quotes; it takes text in quotes", name.to_string_lossy())
            }
            Self::Unknown => f.write_str("no such parameter"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(name: &CStr, given: Given<'_>) -> (config::Parameters, Option<String>) {
        let parameter = PARAMETERS.iter().find(|parameter| parameter.name == name).unwrap();
        let mut all = config::Parameters::default();
        let refusal = set(&mut all, parameter, given).err();
        (all, refusal.map(|refusal| refusal.to_string()))
    }

    #[test]
    fn no_name_stands_twice() {
        for (index, parameter) in PARAMETERS.iter().enumerate() {
            assert_eq!(PARAMETERS.iter().position(|other| other.name == parameter.name), Some(index));
        }
    }

    #[test]
    fn each_type_goes_where_it_belongs() {
        assert_eq!(given(c"xmpp_domain", Given::Text(b"sip.example.com")).0.xmpp_domain.unwrap(), "sip.example.com");
        assert_eq!(given(c"xmpp_port", Given::Number(-1)).0.xmpp_port, Some(-1));
        assert_eq!(given(c"db_url", Given::Text(b"sqlite:///db")).0.db_url.unwrap().expose(), "sqlite:///db");
        assert_eq!(given(c"gwmap", Given::Text(b"a=b")).0.gwmap, ["a=b"]);
    }

    #[test]
    fn what_is_of_the_wrong_type_is_named_with_what_it_holds() {
        for (name, held, sentence) in [
            (c"xmpp_domain", Given::Number(7), "parameter xmpp_domain is the number 7; it takes text in quotes"),
            (c"xmpp_domain", Given::Text(b"a\xff"), "parameter xmpp_domain is \"a\\xff\"; it takes text in UTF-8"),
            (c"xmpp_port", Given::Text(b"a\n"), "parameter xmpp_port is \"a\\n\"; it takes a number without quotes"),
        ] {
            assert_eq!(given(name, held).1.as_deref(), Some(sentence));
        }
    }

    #[test]
    fn a_secret_is_not_shown_and_not_kept_where_it_is_wrong() {
        for held in [Given::Number(31_337), Given::Text(b"s3cret\xff")] {
            let (all, refusal) = given(c"xmpp_password", held);
            assert_eq!(all.xmpp_password.unwrap().expose(), "");
            assert_eq!(refusal.unwrap(), "parameter xmpp_password is no UTF-8 text in quotes; it takes text in quotes");
        }
    }
}
