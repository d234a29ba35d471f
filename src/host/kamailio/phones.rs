//! Phones in their users' XMPP accounts: what the registrar tells, the phone process, and the commands.

use std::ffi::CStr;
use std::ffi::c_int;
use std::ffi::c_void;
use std::io;
use std::mem;
use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;
use std::ptr;
use std::sync::OnceLock;
use std::time::SystemTime;

use super::GATEWAY;
use super::Gateway;
use super::callbacks;
use super::calls;
use super::db::Driver;
use super::export;
use super::msg;
use super::msg::host_text;
use super::process::Stop;
use super::rpc;
use super::sys;
use crate::host;
use crate::host::guard;
use crate::host::phones;
use crate::host::phones::Contact;
use crate::host::phones::NOT_SHOWN;
use crate::host::phones::PhoneHost;
use crate::host::phones::Phones;
use crate::phone::users::Fact;
use crate::process;
use crate::process::host::Flow;
use crate::worker::ScriptResult;
use crate::xmpp::element::Element;
use crate::xmpp::stanza_error::StanzaError;

/// The functions of usrloc.
struct Registrar(sys::usrloc_api_t);

// SAFETY: [H1][H4] functions and numbers, written in mod_init and only read.
unsafe impl Send for Registrar {}
// SAFETY: [H1][H4] as above.
unsafe impl Sync for Registrar {}

static REGISTRAR: OnceLock<Registrar> = OnceLock::new();

/// In mod_init: the registrar tells us of its contacts from now on.
pub(super) fn hear_registrations() {
    // SAFETY: usrloc registers `ul_bind_usrloc` under that name with that type (modules/usrloc/usrloc.h); both are one pointer or NULL.
    let bind: sys::bind_usrloc_t = unsafe { mem::transmute(export(c"ul_bind_usrloc", 1)) };
    // SAFETY: the structure holds optional functions and numbers, for which all zeros is a value.
    let mut api: sys::usrloc_api_t = unsafe { mem::zeroed() };
    // SAFETY: [H1][H2] the structure is of the layout that the headers give and lives through the call.
    let is_bound = bind.is_some_and(|bind| unsafe { bind(&raw mut api) } >= 0);
    let Some(register) = api.register_ulcb.filter(|_| is_bound) else {
        log::warn!("module usrloc is not loaded before xmpp_gateway: of phones only calls, and what the script says, are shown");
        return;
    };
    let types = sys::UL_CONTACT_INSERT | sys::UL_CONTACT_UPDATE | sys::UL_CONTACT_DELETE | sys::UL_CONTACT_EXPIRE;
    // SAFETY: [H1][H4] a function of this module, and no parameter.
    if unsafe { register(types, Some(callbacks::contact_changed), ptr::null_mut()) } < 0 {
        log::error!("usrloc refused the callback for contacts: registrations of phones are not seen");
        return;
    }
    let _ = REGISTRAR.set(Registrar(api));
}

/// A contact was stored, refreshed, removed, or has expired.
pub(super) fn contact_changed(contact: &sys::ucontact, what: c_int) {
    let Some(phones) = GATEWAY.get().and_then(|gateway| gateway.phones.as_ref()) else { return };
    let is_gone = what & (sys::UL_CONTACT_DELETE | sys::UL_CONTACT_EXPIRE) != 0;
    let lifetime = if is_gone { None } else { lifetime(contact) };
    phones.contact(&described(contact, lifetime));
}

fn described(contact: &sys::ucontact, lifetime: Option<u64>) -> Contact<'_> {
    // SAFETY: [H2][H3] the contact's texts live as long as it.
    let aor = unsafe { msg::text_at(contact.aor) };
    // SAFETY: [H2][H3] as above.
    let [uri, instance] = [contact.c, contact.instance].map(|text| unsafe { msg::text(text) });
    Contact { aor, uri, instance, lifetime }
}

/// For how many seconds a contact is stored; `None`: not any more. Without an end it is for long.
fn lifetime(contact: &sys::ucontact) -> Option<u64> {
    if contact.expires == 0 {
        return Some(u64::MAX);
    }
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    u64::try_from(contact.expires).ok()?.checked_sub(now).filter(|left| *left > 0)
}

/// `xmpp_phone_state(uri, state)`
pub(super) fn state(uri: &[u8], state: &[u8]) -> ScriptResult {
    let Some(phones) = GATEWAY.get().and_then(|gateway| gateway.phones.as_ref()) else {
        log::error!("xmpp_phone_state: {NOT_SHOWN}");
        return ScriptResult::Failed;
    };
    match phones.state(uri, state) {
        Ok(()) => ScriptResult::Done,
        Err(sentence) => {
            log::error!("xmpp_phone_state: {sentence}");
            ScriptResult::Failed
        }
    }
}

/// # Safety
/// Functions and context of a command that has not been answered yet [H2].
pub(super) unsafe fn state_command(rpc: *mut sys::rpc_t, context: *mut c_void) {
    // SAFETY: [H2] by the contract of this function.
    let Some((rpc, phones)) = (unsafe { shown(rpc, context) }) else { return };
    let [uri, state] = [(); 2].map(|()| rpc::parameter(rpc, context).unwrap_or_default());
    if let Err(sentence) = phones.state(uri, state) {
        rpc::refuse(rpc, context, sentence);
    }
}

/// # Safety
/// As above.
pub(super) unsafe fn reload_command(rpc: *mut sys::rpc_t, context: *mut c_void) {
    // SAFETY: [H2] by the contract of this function.
    let Some((rpc, phones)) = (unsafe { shown(rpc, context) }) else { return };
    if let Err(sentence) = phones.reload() {
        rpc::refuse(rpc, context, sentence);
    }
}

/// # Safety
/// As above.
pub(super) unsafe fn import_command(rpc: *mut sys::rpc_t, context: *mut c_void) {
    // SAFETY: [H2] by the contract of this function.
    let Some((rpc, phones)) = (unsafe { shown(rpc, context) }) else { return };
    let [path, domain] = [(); 2].map(|()| rpc::parameter(rpc, context));
    let domain = domain.and_then(|domain| str::from_utf8(domain).ok());
    match phones.import(path.unwrap_or_default(), domain) {
        Ok(lines) => rpc::lines(rpc, context, &lines),
        Err(sentence) => rpc::refuse(rpc, context, &sentence),
    }
}

/// # Safety
/// As above.
unsafe fn shown<'a>(rpc: *mut sys::rpc_t, context: *mut c_void) -> Option<(&'a sys::rpc_t, &'static Phones<Driver>)> {
    // SAFETY: [H2] by the contract of this function.
    let rpc = unsafe { rpc.as_ref() }?;
    let phones = GATEWAY.get().and_then(|gateway| gateway.phones.as_ref());
    if phones.is_none() {
        rpc::refuse(rpc, context, NOT_SHOWN);
    }
    Some((rpc, phones?))
}

/// In the main process: forks the phone process, which never returns from here.
pub(super) fn fork(gateway: &Gateway, phones: &Phones<Driver>) -> c_int {
    let name = c"xmpp_gateway phones".as_ptr().cast_mut();
    // PROC_RPC: as for the XMPP process; usrloc may keep its contacts in a database only.
    // SAFETY: [H1] the main process calls this in its child_init, where modules fork; the name is copied.
    match unsafe { sys::fork_process(sys::PROC_RPC, name, 1) } {
        0 => run(gateway, phones),
        failed if failed < 0 => {
            log::error!("Kamailio could not fork the phone process");
            -1
        }
        _ => 0,
    }
}

fn run(gateway: &Gateway, phones: &Phones<Driver>) -> ! {
    host::name_process(c"xmpp_phones");
    let code = match (KamailioPhones::new(gateway), &gateway.config.phones) {
        (Ok(host), Some(config)) => guard::answer(1, || {
            process::phones::run(&mut phones.registrar(host), config, &phones.hear);
            0
        }),
        (Err(error), _) => {
            log::error!("the phone process cannot start: {error}");
            1
        }
        (Ok(_), None) => 0,
    };
    // SAFETY: ends this process without the exit handlers of the main process, whose copy it is.
    unsafe { libc::_exit(code) }
}

/// Kamailio, as the phone process sees it.
struct KamailioPhones<'a> {
    gateway: &'a Gateway,
    stop: Stop,
}

impl<'a> KamailioPhones<'a> {
    fn new(gateway: &'a Gateway) -> io::Result<Self> {
        let stop = Stop::handled()?;
        // SAFETY: [H1] announced in mod_init, and called once, in the process that it was announced for.
        if unsafe { sys::cfg_child_init() } < 0 {
            return Err(io::Error::other("Kamailio gave no copy of its settings"));
        }
        Ok(Self { gateway, stop })
    }
}

impl PhoneHost for KamailioPhones<'_> {
    fn registered(&mut self, user: &str) -> Vec<Fact> {
        registered(user).unwrap_or_default()
    }

    fn ask_for_calls(&mut self) {
        self.gateway.worker.ask_for_calls();
    }

    fn message(&mut self, user: &str, message: &Element) -> Result<(), Option<StanzaError>> {
        let message = phones::message(&self.gateway.config, user, message)?;
        calls::message(self.gateway, &message).map_err(|error| phones::refused(user, error))
    }

    fn wake_descriptor(&self) -> BorrowedFd<'_> {
        self.stop.as_fd()
    }

    fn wake(&mut self) -> Flow {
        self.stop.asked_for()
    }
}

/// The contacts of a user; none if the registrar knows the user not.
fn registered(user: &str) -> Option<Vec<Fact>> {
    let Registrar(api) = REGISTRAR.get()?;
    let (find_domain, lock, unlock, find) = (api.get_udomain?, api.lock_udomain?, api.unlock_udomain?, api.get_urecord?);
    let release = api.release_urecord?;
    let mut domain = ptr::null_mut();
    // SAFETY: [H1][H2] the name is NUL-terminated and only read; the place lives through the call.
    if unsafe { find_domain(LOCATION.as_ptr(), &raw mut domain) } < 0 || domain.is_null() {
        return None;
    }
    let aor = user.strip_prefix("sip:")?;
    let aor = if api.use_domain != 0 { aor } else { aor.split('@').next()? };
    let mut aor = host_text(aor.as_bytes());
    let mut facts = Vec::new();
    // SAFETY: [H1] the lock of this address, which nothing below takes.
    unsafe { lock(domain, &raw mut aor) };
    let mut record = ptr::null_mut();
    // SAFETY: [H1][H2] under its lock; the place lives through the call.
    if unsafe { find(domain, &raw mut aor, &raw mut record) } == 0 {
        // SAFETY: [H2] a record that is there while the lock is held.
        let mut next = unsafe { record.as_ref() }.map_or(ptr::null_mut(), |record| record.contacts);
        // SAFETY: [H2] as above: a list that ends with NULL.
        while let Some(contact) = unsafe { next.as_ref() } {
            facts.extend(lifetime(contact).and_then(|left| described(contact, Some(left)).fact()));
            next = contact.next;
        }
        // SAFETY: [H1] the record that was found: a copy, where the registrar keeps all in a database.
        unsafe { release(record) };
    }
    // SAFETY: [H1] taken above.
    unsafe { unlock(domain, &raw mut aor) };
    Some(facts)
}

/// The table of contacts that registrars use unless they are told otherwise.
const LOCATION: &CStr = c"location";
