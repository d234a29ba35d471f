//! Phones in their users' XMPP accounts: what the registrar tells, the phone process, and the script function.

use std::mem;
use std::os::fd::BorrowedFd;
use std::ptr;
use std::sync::OnceLock;
use std::time::SystemTime;

use super::MODULE;
use super::Module;
use super::callbacks;
use super::calls;
use super::db::Driver;
use super::msg;
use super::process;
use super::sys;
use crate::host;
use crate::host::phones;
use crate::host::phones::Contact;
use crate::host::phones::NOT_SHOWN;
use crate::host::phones::PhoneHost;
use crate::host::phones::Phones;
use crate::phone::users::Fact;
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
    // SAFETY: the structure holds optional functions and numbers, for which all zeros is a value.
    let mut api: sys::usrloc_api_t = unsafe { mem::zeroed() };
    // SAFETY: [H1][H2] the structure is of the layout that the headers give and lives through the call.
    let is_bound = unsafe { sys::host_load_usrloc(&raw mut api) } >= 0;
    let Some(register) = api.register_ulcb.filter(|_| is_bound) else {
        log::warn!("module usrloc is not loaded: of phones only calls, and what the script says, are shown");
        return;
    };
    let types = sys::UL_CONTACT_INSERT | sys::UL_CONTACT_UPDATE | sys::UL_CONTACT_DELETE | sys::UL_CONTACT_EXPIRE;
    // SAFETY: [H1][H4] a function of this module.
    if unsafe { register(types, Some(callbacks::contact_changed)) } < 0 {
        log::error!("usrloc refused the callback for contacts: registrations of phones are not seen");
        return;
    }
    let _ = REGISTRAR.set(Registrar(api));
}

/// A contact was stored, refreshed, removed, or has expired.
pub(super) fn contact_changed(contact: &sys::ucontact_t, what: sys::ul_cb_type) {
    let Ok(phones) = shown() else { return };
    let is_gone = what & (sys::UL_CONTACT_DELETE | sys::UL_CONTACT_EXPIRE) != 0;
    let lifetime = if is_gone { None } else { lifetime(contact) };
    phones.contact(&described(contact, lifetime));
}

fn described(contact: &sys::ucontact_t, lifetime: Option<u64>) -> Contact<'_> {
    // SAFETY: [H2][H3] the contact's texts live as long as it.
    let [aor, uri, instance] =
        [contact.aor, &raw const contact.c, &raw const contact.instance].map(|text| unsafe { msg::bytes_at(text) });
    Contact { aor, uri, instance, lifetime }
}

/// For how many seconds a contact is stored; `None`: not any more. Without an end it is for long.
fn lifetime(contact: &sys::ucontact_t) -> Option<u64> {
    if contact.expires == 0 {
        return Some(u64::MAX);
    }
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    u64::try_from(contact.expires).ok()?.checked_sub(now).filter(|left| *left > 0)
}

/// The phones that are shown; the error is a sentence.
pub(super) fn shown() -> Result<&'static Phones<Driver>, &'static str> {
    MODULE.get().and_then(|module| module.phones.as_ref()).ok_or(NOT_SHOWN)
}

/// `xmpp_phone_state(uri, state)`
pub(super) fn state(uri: &[u8], state: &[u8]) -> ScriptResult {
    match shown().and_then(|phones| phones.state(uri, state)) {
        Ok(()) => ScriptResult::Done,
        Err(sentence) => {
            log::error!("xmpp_phone_state: {sentence}");
            ScriptResult::Failed
        }
    }
}

/// The phone process, until the host stops.
pub(super) fn run(module: &Module) {
    host::name_process(c"xmpp_phones");
    if let (Some(phones), Some(config)) = (&module.phones, &module.config.phones) {
        crate::process::phones::run(&mut phones.registrar(OpenSipsPhones { module }), config, &phones.hear);
    }
    process::take_last_job();
}

/// OpenSIPS, as the phone process sees it.
struct OpenSipsPhones<'a> {
    module: &'a Module,
}

impl PhoneHost for OpenSipsPhones<'_> {
    fn registered(&mut self, user: &str) -> Vec<Fact> {
        registered(user).unwrap_or_default()
    }

    fn ask_for_calls(&mut self) {
        self.module.worker.ask_for_calls();
    }

    fn message(&mut self, user: &str, message: &Element) -> Result<(), Option<StanzaError>> {
        let message = phones::message(&self.module.config, user, message)?;
        calls::message(self.module, &message).map_err(|error| phones::refused(user, error))
    }

    fn wake_descriptor(&self) -> BorrowedFd<'_> {
        process::job_descriptor()
    }

    fn wake(&mut self) -> Flow {
        process::handle_jobs()
    }
}

/// The contacts of a user, as far as the registrar has them in memory.
fn registered(user: &str) -> Option<Vec<Fact>> {
    let Registrar(api) = REGISTRAR.get()?;
    let (next_domain, lock, unlock, find) = (api.get_next_udomain?, api.lock_udomain?, api.unlock_udomain?, api.get_urecord?);
    // SAFETY: [H1] a function of usrloc without parameters.
    if unsafe { (api.have_mem_storage?)() } == 0 {
        return None;
    }
    let aor = user.strip_prefix("sip:")?;
    let aor = if api.use_domain != 0 { aor } else { aor.split('@').next()? };
    let mut aor = calls::bytes(aor.as_bytes());
    let mut facts = Vec::new();
    // SAFETY: [H1] NULL asks for the first one.
    let mut domain = unsafe { next_domain(ptr::null_mut()) };
    while !domain.is_null() {
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
        }
        // SAFETY: [H1] taken above.
        unsafe { unlock(domain, &raw mut aor) };
        // SAFETY: [H1] one that usrloc gave.
        domain = unsafe { next_domain(domain) };
    }
    Some(facts)
}
