//! Module parameters: the host's parser calls one function a `modparam` line, long before mod_init.
//!
//! Each parameter is exported twice, as string and as integer, so that the wrong type reaches us and the operator reads which
//! parameter it was, what it held and what it takes. What the values mean is checked by [`Config`](crate::config::Config).

use std::ffi::CStr;
use std::ffi::c_char;
use std::ffi::c_int;
use std::ffi::c_void;
use std::mem;
use std::sync::Mutex;
use std::sync::PoisonError;

use crate::config::Parameters;
use crate::config::Secret;
use crate::host::guard;
use crate::host::opensips::log;
use crate::host::opensips::sys;

/// One parameter.
pub(super) struct Parameter {
    /// As the operator writes it.
    pub(super) name: &'static CStr,
    set: Set,
}

/// The type it takes, and where it goes.
enum Set {
    Text(fn(&mut Parameters, String)),
    Number(fn(&mut Parameters, i64)),
    /// Text that no log line shows, not even where it is wrong.
    Secret(fn(&mut Parameters, Secret)),
}

/// How many there are.
pub(super) const COUNT: usize = 28;

/// All of them, in the order of module-docs.
pub(super) static PARAMETERS: [Parameter; COUNT] = [
    text(c"backend", |parameters, value| parameters.backend = Some(value)),
    text(c"xmpp_domain", |parameters, value| parameters.xmpp_domain = Some(value)),
    text(c"xmpp_host", |parameters, value| parameters.xmpp_host = Some(value)),
    number(c"xmpp_port", |parameters, value| parameters.xmpp_port = Some(value)),
    secret(c"xmpp_password", |parameters, value| parameters.xmpp_password = Some(value)),
    text(c"xmpp_password_file", |parameters, value| parameters.xmpp_password_file = Some(value)),
    text(c"xmpp_tls", |parameters, value| parameters.xmpp_tls = Some(value)),
    text(c"xmpp_tls_ca", |parameters, value| parameters.xmpp_tls_ca = Some(value)),
    secret(c"xmpp_component", |parameters, value| parameters.xmpp_component.push(value)),
    number(c"ping_interval", |parameters, value| parameters.ping_interval = Some(value)),
    number(c"ping_timeout", |parameters, value| parameters.ping_timeout = Some(value)),
    text(c"gateway_domain", |parameters, value| parameters.gateway_domain = Some(value)),
    text(c"sip_domain", |parameters, value| parameters.sip_domain = Some(value)),
    text(c"domain_separator", |parameters, value| parameters.domain_separator = Some(value)),
    text(c"gwmap", |parameters, value| parameters.gwmap.push(value)),
    text(c"tel_domain", |parameters, value| parameters.tel_domain = Some(value)),
    text(c"outbound_proxy", |parameters, value| parameters.outbound_proxy = Some(value)),
    text(c"server_address", |parameters, value| parameters.server_address = Some(value)),
    text(c"presence_server", |parameters, value| parameters.presence_server = Some(value)),
    text(c"presence_mode", |parameters, value| parameters.presence_mode = Some(value)),
    text(c"allow_domain", |parameters, value| parameters.allow_domain.push(value)),
    text(c"deny_domain", |parameters, value| parameters.deny_domain.push(value)),
    number(c"rate_limit", |parameters, value| parameters.rate_limit = Some(value)),
    number(c"rate_limit_domain", |parameters, value| parameters.rate_limit_domain = Some(value)),
    number(c"queue_size", |parameters, value| parameters.queue_size = Some(value)),
    number(c"queue_ttl", |parameters, value| parameters.queue_ttl = Some(value)),
    secret(c"db_url", |parameters, value| parameters.db_url = Some(value)),
    text(c"address_table", |parameters, value| parameters.address_table = Some(value)),
];

/// What the parser has delivered so far. The parser runs alone, before any fork.
static GIVEN: Mutex<Option<Parameters>> = Mutex::new(None);

/// Hands all parameters to mod_init.
pub(super) fn taken() -> Parameters {
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    mem::take(&mut *given).unwrap_or_default()
}

/// The function behind the parameter of this index: 0, or -1 after saying what is wrong.
pub(super) unsafe extern "C" fn set<const INDEX: usize>(kind: sys::modparam_t, value: *mut c_void) -> c_int {
    guard::answer(-1, || {
        log::install();
        let Some(parameter) = PARAMETERS.get(INDEX) else { return -1 };
        let name = parameter.name.to_string_lossy();
        // SAFETY: [H2][H3] the parser hands over a string or, as the pointer itself, an integer, and says which.
        match take(parameter, unsafe { Value::of(kind, value) }) {
            Ok(()) => 0,
            Err(Refusal::Type { held, takes }) => {
                ::log::error!("parameter {name} is {held}; it takes {takes}");
                -1
            }
            // After -1 the parser would log the whole line: mod_init refuses the secret that is empty now.
            Err(Refusal::Secret) => {
                ::log::error!("parameter {name} is no UTF-8 text in quotes; it takes a string in quotes");
                0
            }
            Err(Refusal::Encoding) => {
                ::log::error!("parameter {name} is not UTF-8; it takes UTF-8 text");
                -1
            }
        }
    })
}

enum Value<'a> {
    Text(&'a CStr),
    Number(i64),
}

impl Value<'_> {
    /// # Safety
    /// `value` is what the host's parser gave for `kind`.
    unsafe fn of(kind: sys::modparam_t, value: *mut c_void) -> Self {
        if kind & sys::STR_PARAM.unsigned_abs() == 0 {
            // The host stores an int in the pointer.
            return Self::Number(i64::from(value.addr() as c_int));
        }
        if value.is_null() {
            return Self::Text(c"");
        }
        // SAFETY: [H2] a string of the configuration file, NUL-terminated, that outlives this call.
        Self::Text(unsafe { CStr::from_ptr(value.cast::<c_char>()) })
    }
}

enum Refusal {
    Type { held: String, takes: &'static str },
    Encoding,
    Secret,
}

fn take(parameter: &Parameter, value: Value<'_>) -> Result<(), Refusal> {
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    let parameters = given.get_or_insert_default();
    match (&parameter.set, value) {
        (Set::Text(set), Value::Text(value)) => set(parameters, value.to_str().map_err(|_| Refusal::Encoding)?.to_owned()),
        (Set::Number(set), Value::Number(value)) => set(parameters, value),
        (Set::Secret(set), value) => {
            let text = match value {
                Value::Text(value) => value.to_str().ok(),
                Value::Number(_) => None,
            };
            set(parameters, text.unwrap_or_default().into());
            text.ok_or(Refusal::Secret)?;
        }
        (Set::Text(_), Value::Number(value)) => {
            return Err(Refusal::Type { held: format!("the number {value}"), takes: "a string in quotes" });
        }
        (Set::Number(_), Value::Text(value)) => {
            return Err(Refusal::Type { held: format!("{:?}", value.to_string_lossy()), takes: "a number, without quotes" });
        }
    }
    Ok(())
}

const fn text(name: &'static CStr, set: fn(&mut Parameters, String)) -> Parameter {
    Parameter { name, set: Set::Text(set) }
}

const fn secret(name: &'static CStr, set: fn(&mut Parameters, Secret)) -> Parameter {
    Parameter { name, set: Set::Secret(set) }
}

const fn number(name: &'static CStr, set: fn(&mut Parameters, i64)) -> Parameter {
    Parameter { name, set: Set::Number(set) }
}
