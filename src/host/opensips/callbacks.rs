//! Every function that the host calls: guard, convert, call, convert back.

use std::ffi::CStr;
use std::ffi::c_char;
use std::ffi::c_int;
use std::ffi::c_void;
use std::ptr;

use super::MODULE;
use super::Module;
use super::calls;
use super::contact_lamps;
use super::dialog_calls;
use super::dialog_event;
use super::log;
use super::mi;
use super::msg;
use super::msg::Wanted;
use super::phones;
use super::presence;
use super::process;
use super::published;
use super::reply;
use super::store;
use super::sys;
use crate::host;
use crate::host::database::AddressTable;
use crate::host::guard;
use crate::host::parameters;
use crate::host::parameters::Given;
use crate::host::parameters::Refusal;
use crate::translate::failure;
use crate::worker::ScriptResult;

/// Before the fork, as the user that started the host.
pub(super) unsafe extern "C" fn mod_init() -> c_int {
    guard::answer(-1, || {
        log::install();
        super::start().map_or_else(
            |error| {
                ::log::error!("{error}");
                -1
            },
            |()| 0,
        )
    })
}

/// A `modparam`: 0, or -1 after saying what is wrong.
pub(super) unsafe extern "C" fn parameter<const INDEX: usize>(kind: sys::modparam_t, value: *mut c_void) -> c_int {
    guard::answer(-1, || {
        log::install();
        // SAFETY: [H2][H3] the parser hands over text or, as the pointer itself, a number, and says which.
        let taken = parameters::take(INDEX, unsafe { given(kind, value) });
        if let Err(refusal) = &taken {
            ::log::error!("{refusal}");
        }
        match taken {
            // After -1 the parser would log the whole line: mod_init refuses the secret that is empty now.
            Ok(()) | Err(Refusal::Secret(_)) => 0,
            Err(Refusal::Text(..) | Refusal::Number(..) | Refusal::Encoding(..) | Refusal::Unknown) => -1,
        }
    })
}

/// `xmpp_send_message()`
pub(super) unsafe extern "C" fn xmpp_send_message(
    msg: *mut sys::sip_msg,
    _: *mut c_void,
    _: *mut c_void,
    _: *mut c_void,
    _: *mut c_void,
    _: *mut c_void,
    _: *mut c_void,
    _: *mut c_void,
    _: *mut c_void,
) -> c_int {
    script(msg, |module| {
        // SAFETY: [H2] the message of the running script.
        match unsafe { msg::copy(msg, Wanted::Message) } {
            Ok(request) => module.worker.send_message(&request),
            Err(error) => refused("xmpp_send_message", error),
        }
    })
}

/// `pua_xmpp_notify()`
pub(super) unsafe extern "C" fn pua_xmpp_notify(
    msg: *mut sys::sip_msg,
    _: *mut c_void,
    _: *mut c_void,
    _: *mut c_void,
    _: *mut c_void,
    _: *mut c_void,
    _: *mut c_void,
    _: *mut c_void,
    _: *mut c_void,
) -> c_int {
    script(msg, |module| {
        // SAFETY: [H2] the message of the running script.
        match unsafe { msg::copy(msg, Wanted::Notify) } {
            Ok(request) if calls::is_known_dialog(module, &request) => module.worker.notify(&request),
            Ok(request) => module.worker.unknown_dialog(&request),
            Err(error) => refused("pua_xmpp_notify", error),
        }
    })
}

/// `xmpp_handle_subscribe()`
pub(super) unsafe extern "C" fn xmpp_handle_subscribe(
    msg: *mut sys::sip_msg,
    _: *mut c_void,
    _: *mut c_void,
    _: *mut c_void,
    _: *mut c_void,
    _: *mut c_void,
    _: *mut c_void,
    _: *mut c_void,
    _: *mut c_void,
) -> c_int {
    script(msg, |module| {
        // SAFETY: [H2] the message of the running script.
        let request = match unsafe { msg::copy(msg, Wanted::Subscribe) } {
            Ok(request) => request,
            Err(error) => return refused("xmpp_handle_subscribe", error),
        };
        // SAFETY: [H2] as above.
        match module.worker.subscription(&request, || unsafe { reply::tag(module, msg) }) {
            Ok(subscription) => {
                // SAFETY: [H2] as above.
                let replied = unsafe { reply::accept(module, msg, &subscription.headers) };
                module.worker.subscribed(subscription, replied)
            }
            Err(result) => result,
        }
    })
}

/// `pua_xmpp_req_winfo(request_uri, expires)`
pub(super) unsafe extern "C" fn pua_xmpp_req_winfo(
    msg: *mut sys::sip_msg,
    request_uri: *mut c_void,
    expires: *mut c_void,
    _: *mut c_void,
    _: *mut c_void,
    _: *mut c_void,
    _: *mut c_void,
    _: *mut c_void,
    _: *mut c_void,
) -> c_int {
    script(msg, |module| {
        // SAFETY: [H2][H3] the host gives a `str` for a string parameter.
        let request_uri = unsafe { msg::bytes(request_uri.cast::<sys::str_>()) };
        // SAFETY: [H2] the host gives an `int` for an integer parameter.
        let expires = unsafe { expires.cast::<c_int>().as_ref() }.copied().unwrap_or(0).to_string();
        match module.worker.winfo_subscription(&request_uri, expires.as_bytes()) {
            Ok(subscribe) => module.worker.winfo_result(&subscribe, calls::subscribe(module, &subscribe)),
            Err(result) => result,
        }
    })
}

/// `dialoginfo_set([parties])`
pub(super) unsafe extern "C" fn dialoginfo_set(
    msg: *mut sys::sip_msg,
    parties: *mut c_void,
    _: *mut c_void,
    _: *mut c_void,
    _: *mut c_void,
    _: *mut c_void,
    _: *mut c_void,
    _: *mut c_void,
    _: *mut c_void,
) -> c_int {
    script(msg, |module| {
        // SAFETY: [H2][H3] the host gives a `str` for a string parameter, NULL where there is none.
        let letters = unsafe { msg::bytes(parties.cast::<sys::str_>()) };
        host::dialog_calls::for_parties("dialoginfo_set", &letters, |parties| {
            // SAFETY: [H2] the message of the running script.
            unsafe { dialog_calls::show(module, msg, parties) }
        })
    })
}

/// `dialoginfo_set_branch_callee(callee)`
pub(super) unsafe extern "C" fn dialoginfo_set_branch_callee(
    msg: *mut sys::sip_msg,
    callee: *mut c_void,
    _: *mut c_void,
    _: *mut c_void,
    _: *mut c_void,
    _: *mut c_void,
    _: *mut c_void,
    _: *mut c_void,
    _: *mut c_void,
) -> c_int {
    script(msg, |module| {
        // SAFETY: [H2][H3] the host gives a `str` for a string parameter.
        let callee = unsafe { msg::bytes(callee.cast::<sys::str_>()) };
        host::dialog_calls::result("dialoginfo_set_branch_callee", dialog_calls::set_branch_callee(module, &callee))
    })
}

/// `dialoginfo_mute_branch([parties])`
pub(super) unsafe extern "C" fn dialoginfo_mute_branch(
    msg: *mut sys::sip_msg,
    parties: *mut c_void,
    _: *mut c_void,
    _: *mut c_void,
    _: *mut c_void,
    _: *mut c_void,
    _: *mut c_void,
    _: *mut c_void,
    _: *mut c_void,
) -> c_int {
    script(msg, |module| {
        // SAFETY: [H2][H3] the host gives a `str` for a string parameter, NULL where there is none.
        let letters = unsafe { msg::bytes(parties.cast::<sys::str_>()) };
        host::dialog_calls::for_parties("dialoginfo_mute_branch", &letters, |parties| dialog_calls::mute_branch(module, parties))
    })
}

/// dialog: an INVITE made one. In any worker.
pub(super) unsafe extern "C" fn call_created(dialog: *mut sys::dlg_cell, _: c_int, parameters: *mut sys::dlg_cb_params) {
    guard::answer((), || {
        // SAFETY: [H2] dialog's parameters, alive through this call.
        MODULE.get().and_then(|module| unsafe { dialog_calls::created(module, dialog, parameters) });
    });
}

/// dialog: one from before a restart, in mod_init; or from another node, in any process.
pub(super) unsafe extern "C" fn call_loaded(dialog: *mut sys::dlg_cell, _: c_int, _: *mut sys::dlg_cb_params) {
    guard::answer((), || {
        // SAFETY: [H2] the dialog of this call.
        MODULE.get().and_then(|module| unsafe { dialog_calls::loaded(module, dialog) });
    });
}

/// dialog: something happened to a call. In any worker, and in a timer process.
pub(super) unsafe extern "C" fn call_event(dialog: *mut sys::dlg_cell, kind: c_int, parameters: *mut sys::dlg_cb_params) {
    guard::answer((), || {
        // SAFETY: [H2] dialog's parameters, alive through this call.
        MODULE.get().and_then(|module| unsafe { dialog_calls::event(module, dialog, kind, parameters) });
    });
}

/// tm: a reply to the INVITE of a call. In any worker or, where none came, in a timer process.
pub(super) unsafe extern "C" fn call_reply(cell: *mut sys::cell, kind: c_int, parameters: *mut sys::tmcb_params) {
    guard::answer((), || {
        // SAFETY: [H2] tm's parameters, alive through this call.
        MODULE.get().and_then(|module| unsafe { dialog_calls::reply(module, cell, kind, parameters) });
    });
}

/// `xmpp_phone_state(uri, state)`
pub(super) unsafe extern "C" fn xmpp_phone_state(
    msg: *mut sys::sip_msg,
    uri: *mut c_void,
    state: *mut c_void,
    _: *mut c_void,
    _: *mut c_void,
    _: *mut c_void,
    _: *mut c_void,
    _: *mut c_void,
    _: *mut c_void,
) -> c_int {
    script(msg, |_| {
        // SAFETY: [H2][H3] the host gives a `str` for a string parameter.
        let uri = unsafe { msg::bytes(uri.cast::<sys::str_>()) };
        // SAFETY: [H2][H3] as above.
        let state = unsafe { msg::bytes(state.cast::<sys::str_>()) };
        phones::state(&uri, &state)
    })
}

/// MI `xmpp_address_reload`: in whatever process took the command.
pub(super) unsafe extern "C" fn address_reload(_: *const sys::mi_params_t, _: *mut sys::mi_handler) -> *mut sys::mi_response_t {
    guard::answer(ptr::null_mut(), || {
        mi::answer(MODULE.get().and_then(|module| module.address_table.as_ref()).map(AddressTable::load))
    })
}

/// A job that [`calls`] made: something waits in a lane. In any worker.
pub(super) unsafe extern "C" fn do_job(_: c_int, lane: *mut c_void) {
    guard::answer((), || {
        if let Some(module) = MODULE.get() {
            // SAFETY: [H1] the host does each job once.
            unsafe { module.lanes.do_job(lane.addr(), module) };
        }
    });
}

/// The final reply to a MESSAGE of ours: in any worker or, where none came, in a timer process.
pub(super) unsafe extern "C" fn message_completed(_: *mut sys::cell, _: c_int, completed: *mut sys::tmcb_params) {
    guard::answer((), || {
        let Some(module) = MODULE.get() else { return };
        // SAFETY: [H2] tm's parameters, alive through this call.
        if let Some((origin, reply)) = unsafe { calls::message_failure(module, completed) } {
            host::phones::message_reply(module.phones.as_ref(), &module.worker, &module.config.addresses, &origin, &reply);
        }
    });
}

/// The final reply to a NOTIFY of ours: in any worker or, where none came, in a timer process.
pub(super) unsafe extern "C" fn notify_completed(_: *mut sys::cell, _: c_int, completed: *mut sys::tmcb_params) {
    guard::answer((), || {
        let Some(module) = MODULE.get() else { return };
        // SAFETY: [H2] tm's parameters, alive through this call.
        if let Some((number, reply)) = unsafe { calls::notify_outcome(completed) } {
            module.worker.notify_reply(number, &reply);
        }
    });
}

/// The transaction of a MESSAGE is gone, and with it the need for its origin.
pub(super) unsafe extern "C" fn release_origin(block: *mut c_void) {
    guard::answer((), || {
        let Some(module) = MODULE.get() else { return };
        // SAFETY: [H5] what `calls` left for this request, or NULL if it completed.
        drop(unsafe { module.origins.take_back(block) });
    });
}

/// The final reply to a SUBSCRIBE that pua sent for somebody: maybe for us.
pub(super) unsafe extern "C" fn subscribe_completed(subscription: *mut sys::ua_pres_t, reply: *mut sys::sip_msg) -> c_int {
    guard::answer(0, || {
        let Some(module) = MODULE.get() else { return 0 };
        // SAFETY: [H2] pua's parameters, alive through this call.
        if let Some(reply) = unsafe { calls::subscribe_reply(subscription, reply) } {
            module.worker.subscribe_reply(&reply.watcher, &reply.presentity, &reply.reply);
        }
        0
    })
}

/// pua has the reply to a PUBLISH of ours: in any worker, under a lock of pua.
pub(super) unsafe extern "C" fn publish_completed(record: *mut sys::ua_pres_t, reply: *mut sys::sip_msg) -> c_int {
    guard::answer(0, || {
        let Some(module) = MODULE.get() else { return 0 };
        // SAFETY: [H2] pua's parameters, alive through this call.
        if let Some((presentity, id, reply)) = unsafe { calls::publish_reply(record, reply) } {
            module.worker.publish_reply(&presentity, &id, &reply, b"");
        }
        0
    })
}

/// The presence server asks for the state of a subscription: in any worker, and in the XMPP process.
pub(super) unsafe extern "C" fn authorize(subscription: *mut sys::subs_t) -> c_int {
    // SAFETY: [H2] the presence server's parameter, alive through this call.
    guard::answer(-1, || unsafe { presence::authorize(subscription) })
}

/// The presence server has a SUBSCRIBE (presence): in any worker.
pub(super) unsafe extern "C" fn subscribed(
    msg: *mut sys::sip_msg,
    subscription: *mut sys::subs_t,
    reply_code: *mut c_int,
    reply_text: *mut sys::str_,
) -> c_int {
    // SAFETY: [H2] the presence server's parameters, alive through this call.
    guard::answer(-1, || unsafe { presence::subscribed(msg, subscription, reply_code, reply_text) })
}

/// The presence server looks for the rules of a presentity: in any worker, and in the XMPP process.
pub(super) unsafe extern "C" fn rules_document(
    user: *mut sys::str_,
    host: *mut sys::str_,
    document: *mut *mut sys::str_,
) -> c_int {
    // SAFETY: [H2] the presence server's parameters, alive through this call.
    guard::answer(-1, || unsafe { presence::rules_document(user, host, document) })
}

/// The presence server has all documents of one presentity's dialogs: in any worker, and in a timer process.
pub(super) unsafe extern "C" fn dialog_aggregate(
    user: *mut sys::str_,
    host: *mut sys::str_,
    bodies: *mut *mut sys::str_,
    count: c_int,
    withdrawn: c_int,
) -> *mut sys::str_ {
    // SAFETY: [H2] the presence server's parameters, alive through this call.
    guard::answer(ptr::null_mut(), || unsafe { dialog_event::aggregate(user, host, bodies, count, withdrawn) })
}

/// The presence server sends a document to one watcher: in the same processes.
pub(super) unsafe extern "C" fn dialog_notification(subscription: *mut sys::subs_t, body: *mut sys::str_) -> *mut sys::str_ {
    // SAFETY: [H2] the presence server's parameters, alive through this call.
    guard::answer(ptr::null_mut(), || unsafe { dialog_event::notification(subscription, body) })
}

/// The presence server has done with a document.
pub(super) unsafe extern "C" fn dialog_free(text: *mut c_char) {
    // SAFETY: [H5] what one of the two functions above made.
    guard::answer((), || unsafe { host::dialog_event::free(text) });
}

/// The presence server has a SUBSCRIBE (dialog): in any worker.
pub(super) unsafe extern "C" fn dialog_subscribed(
    msg: *mut sys::sip_msg,
    subscription: *mut sys::subs_t,
    _: *mut c_int,
    _: *mut sys::str_,
) -> c_int {
    guard::answer(-1, || {
        if let Some(event) = host::dialog_event::get() {
            // SAFETY: [H2] the presence server's parameters, alive through this call.
            unsafe { dialog_event::subscribed(event, msg, subscription) };
            // SAFETY: [H2] as above.
            unsafe { contact_lamps::subscribed(subscription) };
        }
        0
    })
}

/// The presence server has a PUBLISH (dialog): in any worker.
pub(super) unsafe extern "C" fn dialog_published(msg: *mut sys::sip_msg, _: *mut c_int) -> c_int {
    guard::answer(-1, || {
        // SAFETY: [H2] the presence server's parameter, alive through this call.
        unsafe { dialog_event::published(msg) };
        0
    })
}

/// A request has been through the script, maybe a PUBLISH or a SUBSCRIBE (dialog): in any worker.
pub(super) unsafe extern "C" fn dialog_script_ended(_: *mut sys::sip_msg, _: *mut c_void) -> c_int {
    guard::answer(sys::SCB_RUN_ALL, || {
        host::dialog_event::script_ended(dialog_event::tell_watchers);
        sys::SCB_RUN_ALL
    })
}

/// The presence server asks for the state of a subscription to dialogs: in the same processes as [`authorize`].
pub(super) unsafe extern "C" fn dialog_authorize(subscription: *mut sys::subs_t) -> c_int {
    // SAFETY: [H2] the presence server's parameter, alive through this call.
    guard::answer(-1, || unsafe { contact_lamps::authorize(subscription) })
}

/// The presence server looks for the rules of a presentity's dialogs. There are none.
pub(super) unsafe extern "C" fn dialog_rules(_: *mut sys::str_, _: *mut sys::str_, _: *mut *mut sys::str_) -> c_int {
    0
}

/// The presence server makes the body of a NOTIFY (presence): in any worker, and in the XMPP process.
pub(super) unsafe extern "C" fn notify_body(
    user: *mut sys::str_,
    host: *mut sys::str_,
    bodies: *mut *mut sys::str_,
    count: c_int,
    expired: c_int,
) -> *mut sys::str_ {
    // SAFETY: [H2] the presence server's parameters, alive through this call.
    guard::answer(ptr::null_mut(), || unsafe { presence::notify_body(user, host, bodies, count, expired) })
}

/// The presence server has a PUBLISH (presence): in any worker.
pub(super) unsafe extern "C" fn published(msg: *mut sys::sip_msg, has_sent: *mut c_int) -> c_int {
    // SAFETY: [H2] the presence server's parameters, alive through this call.
    guard::answer(-1, || unsafe { published::published(msg, has_sent) })
}

/// A request has been through the script: in any worker.
pub(super) unsafe extern "C" fn script_ended(_: *mut sys::sip_msg, _: *mut c_void) -> c_int {
    guard::answer(sys::SCB_RUN_ALL, || {
        if let Some(module) = MODULE.get() {
            presence::script_ended(module);
            published::script_ended();
        }
        sys::SCB_RUN_ALL
    })
}

/// The XMPP process, after its fork.
pub(super) unsafe extern "C" fn xmpp_process(_: c_int) {
    guard::answer((), || {
        if let Some(module) = MODULE.get() {
            process::run(module);
        }
    });
}

/// The phone process, after its fork.
pub(super) unsafe extern "C" fn phone_process(_: c_int) {
    guard::answer((), || {
        if let Some(module) = MODULE.get() {
            phones::run(module);
        }
    });
}

/// usrloc: a contact was stored, refreshed, removed, or has expired. In any worker, or in a timer process.
pub(super) unsafe extern "C" fn contact_changed(contact: *mut c_void, what: sys::ul_cb_type, _: *mut sys::ul_cb_extra) {
    guard::answer((), || {
        // SAFETY: [H2] usrloc's contact, locked through this call: we asked for nothing but contacts.
        if let Some(contact) = unsafe { contact.cast::<sys::ucontact_t>().as_ref() } {
            phones::contact_changed(contact, what);
        }
    });
}

/// MI `xmpp_phone_state uri state`: in whatever process took the command.
pub(super) unsafe extern "C" fn phone_state_command(
    parameters: *const sys::mi_params_t,
    _: *mut sys::mi_handler,
) -> *mut sys::mi_response_t {
    guard::answer(ptr::null_mut(), || {
        let [uri, state] = [c"uri", c"state"].map(|name| mi::parameter(parameters, name).unwrap_or_default());
        mi::done(phones::shown().and_then(|phones| phones.state(uri, state)))
    })
}

/// MI `xmpp_account_reload`: in whatever process took the command.
pub(super) unsafe extern "C" fn account_reload(_: *const sys::mi_params_t, _: *mut sys::mi_handler) -> *mut sys::mi_response_t {
    guard::answer(ptr::null_mut(), || mi::done(phones::shown().and_then(|phones| phones.reload())))
}

/// MI `xmpp_account_import file [domain]`: in whatever process took the command.
pub(super) unsafe extern "C" fn account_import(
    parameters: *const sys::mi_params_t,
    _: *mut sys::mi_handler,
) -> *mut sys::mi_response_t {
    guard::answer(ptr::null_mut(), || {
        let file = mi::parameter(parameters, c"file").unwrap_or_default();
        let domain = mi::optional(parameters, c"domain").and_then(|domain| str::from_utf8(domain).ok());
        mi::lines(phones::shown().map_err(str::to_owned).and_then(|phones| phones.import(file, domain)))
    })
}

/// The store process, after its fork.
pub(super) unsafe extern "C" fn store_process(_: c_int) {
    guard::answer((), || {
        if let Some(module) = MODULE.get() {
            store::run(module);
        }
    });
}

/// What a `modparam` line holds.
///
/// # Safety
/// `value` is what the host's parser gave for `kind`.
unsafe fn given<'a>(kind: sys::modparam_t, value: *mut c_void) -> Given<'a> {
    if kind & sys::STR_PARAM.unsigned_abs() == 0 {
        // The host stores an int in the pointer.
        return Given::Number(i64::from(value.addr() as c_int));
    }
    if value.is_null() {
        return Given::Text(b"");
    }
    // SAFETY: [H2] a string of the configuration file, NUL-terminated, that outlives this call.
    Given::Text(unsafe { CStr::from_ptr(value.cast()) }.to_bytes())
}

/// Runs a script function; where something is wrong, the script finds what to reply.
fn script(msg: *mut sys::sip_msg, call: impl FnOnce(&Module) -> ScriptResult) -> c_int {
    let module = MODULE.get();
    guard::script(
        || module.map_or(ScriptResult::Failed, call),
        |refusal| {
            if let Some(module) = module {
                // SAFETY: [H2] the message of the running script function.
                unsafe { module.variables.leave(msg, &refusal) };
            }
        },
    )
}

/// A request that cannot be used is its sender's mistake: one line, and the script decides.
fn refused(function: &str, error: msg::Error) -> ScriptResult {
    ::log::warn!("{function}(): {error}");
    ScriptResult::Refused(failure::Refusal::MALFORMED)
}
