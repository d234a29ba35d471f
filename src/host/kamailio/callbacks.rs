//! Every function that Kamailio calls. Each runs under the guard, converts, calls, converts back.

use std::ffi::CStr;
use std::ffi::c_char;
use std::ffi::c_int;
use std::ffi::c_uint;
use std::ffi::c_void;
use std::ptr;

use super::GATEWAY;
use super::Gateway;
use super::calls;
use super::contact_lamps;
use super::dialog_calls;
use super::dialog_event;
use super::exports;
use super::log;
use super::msg;
use super::msg::Received;
use super::phones;
use super::presence;
use super::process;
use super::published;
use super::reply;
use super::rpc;
use super::sys;
use crate::calls::Parties;
use crate::host;
use crate::host::database::AddressTable;
use crate::host::guard;
use crate::host::parameters;
use crate::host::parameters::Given;
use crate::sip::Reply;
use crate::sip::Request;
use crate::translate::failure::Refusal;
use crate::worker::ScriptResult;

const OK: c_int = 0;
const ERROR: c_int = -1;

/// The first call of all, when the module is loaded.
#[unsafe(no_mangle)]
extern "C" fn mod_register(_path: *mut c_char, _flags: *mut c_int, _reserved1: *mut c_void, _reserved2: *mut c_void) -> c_int {
    guard::answer(ERROR, || {
        log::start();
        guard::log_panics();
        // SAFETY: [H1][H4] a static table that ends with an empty entry; the core keeps its address.
        unsafe { sys::sr_kemi_modules_add(exports::KEMI.pointer()) }
    })
}

/// A `modparam` whose value is text.
pub(super) extern "C" fn parameter_text<const INDEX: usize>(_type: c_uint, value: *mut c_void) -> c_int {
    guard::answer(ERROR, || {
        // SAFETY: [H2] registered as PARAM_STRING: the value is a NUL-terminated text.
        let text = unsafe { CStr::from_ptr(value.cast()) };
        parameter(INDEX, Given::Text(text.to_bytes()))
    })
}

/// A `modparam` whose value is a number.
pub(super) extern "C" fn parameter_number<const INDEX: usize>(_type: c_uint, value: *mut c_void) -> c_int {
    // Registered as PARAM_INT: the pointer itself holds the number, sign included.
    guard::answer(ERROR, || parameter(INDEX, Given::Number(i64::from(value.addr() as c_int))))
}

/// Once, in the main process, when the script is parsed.
pub(super) extern "C" fn mod_init() -> c_int {
    guard::answer(ERROR, || match super::start() {
        Ok(()) => OK,
        Err(error) => {
            ::log::error!("{error}");
            ERROR
        }
    })
}

/// In each process after its fork, and in the main process before (`PROC_INIT`) and while (`PROC_MAIN`) it forks.
pub(super) extern "C" fn child_init(rank: c_int) -> c_int {
    guard::answer(ERROR, || match GATEWAY.get() {
        Some(gateway) if rank == sys::PROC_INIT => process::register_callbacks(gateway),
        Some(gateway) => {
            host::dialog_calls::end_of_loading();
            if rank == sys::PROC_MAIN { process::fork(gateway) } else { OK }
        }
        None => OK,
    })
}

/// `xmpp_send_message()`
pub(super) extern "C" fn send_message(msg: *mut sys::sip_msg, _: *mut c_char, _: *mut c_char) -> c_int {
    kemi_send_message(msg)
}

/// `KSR.xmpp_gateway.xmpp_send_message()`
pub(super) extern "C" fn kemi_send_message(msg: *mut sys::sip_msg) -> c_int {
    script(msg, || with_request("xmpp_send_message", msg, |gateway, _, request| gateway.worker.send_message(request)))
}

/// `pua_xmpp_notify()`
pub(super) extern "C" fn notify(msg: *mut sys::sip_msg, _: *mut c_char, _: *mut c_char) -> c_int {
    kemi_notify(msg)
}

/// `KSR.xmpp_gateway.pua_xmpp_notify()`
pub(super) extern "C" fn kemi_notify(msg: *mut sys::sip_msg) -> c_int {
    script(msg, || {
        with_request("pua_xmpp_notify", msg, |gateway, received, request| {
            if gateway.pending.knows(request) || calls::knows_dialog(gateway, received) {
                return gateway.worker.notify(request);
            }
            gateway.worker.unknown_dialog(request)
        })
    })
}

/// `xmpp_handle_subscribe()`
pub(super) extern "C" fn handle_subscribe(msg: *mut sys::sip_msg, _: *mut c_char, _: *mut c_char) -> c_int {
    kemi_handle_subscribe(msg)
}

/// `KSR.xmpp_gateway.xmpp_handle_subscribe()`
pub(super) extern "C" fn kemi_handle_subscribe(msg: *mut sys::sip_msg) -> c_int {
    script(msg, || {
        with_copy(
            "xmpp_handle_subscribe",
            msg,
            |received| received.subscribe(),
            |gateway, _, request| {
                // SAFETY: [H2] the message of the running script function.
                match gateway.worker.subscription(request, || unsafe { reply::tag(gateway, msg) }) {
                    Ok(subscription) => {
                        // SAFETY: [H2] as above.
                        let replied = unsafe { reply::accept(gateway, msg, &subscription.headers) };
                        gateway.worker.subscribed(subscription, replied)
                    }
                    Err(result) => result,
                }
            },
        )
    })
}

/// `pua_xmpp_req_winfo(request_uri, expires)`
pub(super) extern "C" fn req_winfo(msg: *mut sys::sip_msg, request_uri: *mut c_char, expires: *mut c_char) -> c_int {
    script(msg, || {
        let [Some(request_uri), Some(expires)] = [request_uri, expires].map(|parameter| evaluated(msg, parameter)) else {
            ::log::error!("pua_xmpp_req_winfo: a parameter has no value");
            return ScriptResult::Failed;
        };
        winfo(request_uri, expires)
    })
}

/// `KSR.xmpp_gateway.pua_xmpp_req_winfo(request_uri, expires)`
pub(super) extern "C" fn kemi_req_winfo(msg: *mut sys::sip_msg, request_uri: *mut sys::str_, expires: *mut sys::str_) -> c_int {
    script(msg, || {
        // SAFETY: [H2] parameters of the running call.
        let request_uri = unsafe { msg::text_at(request_uri) };
        // SAFETY: [H2] as above.
        let expires = unsafe { msg::text_at(expires) };
        winfo(request_uri, expires)
    })
}

/// `xmpp_phone_state(uri, state)`
pub(super) extern "C" fn phone_state(msg: *mut sys::sip_msg, uri: *mut c_char, state: *mut c_char) -> c_int {
    script(msg, || {
        let [Some(uri), Some(state)] = [uri, state].map(|parameter| evaluated(msg, parameter)) else {
            ::log::error!("xmpp_phone_state: a parameter has no value");
            return ScriptResult::Failed;
        };
        phones::state(uri, state)
    })
}

/// `KSR.xmpp_gateway.xmpp_phone_state(uri, state)`
pub(super) extern "C" fn kemi_phone_state(msg: *mut sys::sip_msg, uri: *mut sys::str_, state: *mut sys::str_) -> c_int {
    script(msg, || {
        // SAFETY: [H2] parameters of the running call.
        let uri = unsafe { msg::text_at(uri) };
        // SAFETY: [H2] as above.
        let state = unsafe { msg::text_at(state) };
        phones::state(uri, state)
    })
}

/// usrloc: a contact was stored, refreshed, removed, or has expired. In any worker, or in a timer process.
pub(super) unsafe extern "C" fn contact_changed(contact: *mut sys::ucontact, what: c_int, _: *mut c_void) {
    guard::answer((), || {
        // SAFETY: [H2] usrloc's contact, locked through this call.
        if let Some(contact) = unsafe { contact.as_ref() } {
            phones::contact_changed(contact, what);
        }
    });
}

/// RPC `xmpp_gateway.phone_state uri state`: in whatever process took the command.
pub(super) unsafe extern "C" fn rpc_phone_state(rpc: *mut sys::rpc_t, context: *mut c_void) {
    // SAFETY: [H2] the command's functions and context, good until we return.
    guard::answer((), || unsafe { phones::state_command(rpc, context) });
}

/// RPC `xmpp_gateway.account_reload`: in whatever process took the command.
pub(super) unsafe extern "C" fn rpc_account_reload(rpc: *mut sys::rpc_t, context: *mut c_void) {
    // SAFETY: [H2] as above.
    guard::answer((), || unsafe { phones::reload_command(rpc, context) });
}

/// RPC `xmpp_gateway.account_import file [domain]`: in whatever process took the command.
pub(super) unsafe extern "C" fn rpc_account_import(rpc: *mut sys::rpc_t, context: *mut c_void) {
    // SAFETY: [H2] as above.
    guard::answer((), || unsafe { phones::import_command(rpc, context) });
}

/// `dialoginfo_set([parties])`
pub(super) extern "C" fn dialoginfo_set(msg: *mut sys::sip_msg, parties: *mut c_char, _: *mut c_char) -> c_int {
    script(msg, || shown(msg, optional(msg, parties)))
}

/// `KSR.xmpp_gateway.dialoginfo_set(parties)`
pub(super) extern "C" fn kemi_dialoginfo_set(msg: *mut sys::sip_msg, parties: *mut sys::str_) -> c_int {
    // SAFETY: [H2] a parameter of the running call.
    script(msg, || shown(msg, unsafe { msg::text_at(parties) }))
}

/// `dialoginfo_set_branch_callee(callee)`
pub(super) extern "C" fn dialoginfo_set_branch_callee(msg: *mut sys::sip_msg, callee: *mut c_char, _: *mut c_char) -> c_int {
    script(msg, || called(msg, optional(msg, callee)))
}

/// `KSR.xmpp_gateway.dialoginfo_set_branch_callee(callee)`
pub(super) extern "C" fn kemi_dialoginfo_set_branch_callee(msg: *mut sys::sip_msg, callee: *mut sys::str_) -> c_int {
    // SAFETY: [H2] a parameter of the running call.
    script(msg, || called(msg, unsafe { msg::text_at(callee) }))
}

/// `dialoginfo_mute_branch([parties])`
pub(super) extern "C" fn dialoginfo_mute_branch(msg: *mut sys::sip_msg, parties: *mut c_char, _: *mut c_char) -> c_int {
    script(msg, || muted(msg, optional(msg, parties)))
}

/// `KSR.xmpp_gateway.dialoginfo_mute_branch(parties)`
pub(super) extern "C" fn kemi_dialoginfo_mute_branch(msg: *mut sys::sip_msg, parties: *mut sys::str_) -> c_int {
    // SAFETY: [H2] a parameter of the running call.
    script(msg, || muted(msg, unsafe { msg::text_at(parties) }))
}

/// dialog: an INVITE made one. In any worker.
pub(super) unsafe extern "C" fn call_created(dialog: *mut sys::dlg_cell, _kind: c_int, parameters: *mut sys::dlg_cb_params) {
    guard::answer((), || {
        // SAFETY: [H2] dialog's parameters, alive through this call.
        GATEWAY.get().and_then(|gateway| unsafe { dialog_calls::created(gateway, dialog, parameters) });
    });
}

/// dialog: one from before a restart, before the first fork; or one that a command has loaded.
pub(super) unsafe extern "C" fn call_loaded(dialog: *mut sys::dlg_cell, _kind: c_int, _: *mut sys::dlg_cb_params) {
    guard::answer((), || {
        // SAFETY: [H2] the dialog of this call.
        GATEWAY.get().and_then(|gateway| unsafe { dialog_calls::loaded(gateway, dialog) });
    });
}

/// dialog: something happened to a call. In any worker, and in a timer process.
pub(super) unsafe extern "C" fn call_event(dialog: *mut sys::dlg_cell, kind: c_int, parameters: *mut sys::dlg_cb_params) {
    guard::answer((), || {
        // SAFETY: [H2] dialog's parameters, alive through this call.
        GATEWAY.get().and_then(|gateway| unsafe { dialog_calls::event(gateway, dialog, kind, parameters) });
    });
}

/// tm: a reply to the INVITE of a call, or none in time. In any worker, or in a timer process.
pub(super) unsafe extern "C" fn call_reply(cell: *mut sys::cell, kind: c_int, parameters: *mut sys::tmcb_params) {
    guard::answer((), || {
        // SAFETY: [H2] tm's parameters, alive through this call.
        GATEWAY.get().and_then(|gateway| unsafe { dialog_calls::reply(gateway, cell, kind, parameters) });
    });
}

/// RPC `xmpp_gateway.address_reload`: in whatever process took the command.
pub(super) unsafe extern "C" fn address_reload(rpc: *mut sys::rpc_t, context: *mut c_void) {
    guard::answer((), || {
        let loaded = GATEWAY.get().and_then(|gateway| gateway.address_table.as_ref()).map(AddressTable::load);
        // SAFETY: [H2] the command's functions and context, good until we return.
        unsafe { rpc::answer(rpc, context, loaded) };
    });
}

/// tm: a MESSAGE of ours was answered, or not in time; then, its transaction goes. Runs in any worker, or in a timer process.
pub(super) extern "C" fn message_completed(_cell: *mut sys::cell, event: c_int, params: *mut sys::tmcb_params) {
    guard::answer((), || {
        // SAFETY: [H2] tm passes the parameters of this call.
        let (Some(gateway), Some(params)) = (GATEWAY.get(), unsafe { params.as_ref() }) else { return };
        // SAFETY: [H5] the parameter is the one that `calls::message` gave; the first call takes it, and it goes with this call.
        let Some(kept) = (unsafe { calls::take_origin(gateway, params.param) }) else { return };
        // Gone without an outcome: the server stops, and with it the XMPP process.
        if event & sys::TMCB_LOCAL_COMPLETED == 0 {
            return;
        }
        let reply = outcome(params.rpl, params.code);
        // A success needs no stanza: this is the path of almost every MESSAGE.
        if (200..300).contains(&reply.status) {
            return;
        }
        if let Some(origin) = kept.origin() {
            host::phones::message_reply(gateway.phones.as_ref(), &gateway.worker, &gateway.config.addresses, &origin, &reply);
        }
    });
}

/// tm: a NOTIFY of ours was answered, or not in time. Runs where [`message_completed`] does.
pub(super) extern "C" fn notify_completed(_cell: *mut sys::cell, _event: c_int, params: *mut sys::tmcb_params) {
    guard::answer((), || {
        // SAFETY: [H2] tm passes the parameters of this call.
        let (Some(gateway), Some(params)) = (GATEWAY.get(), unsafe { params.as_ref() }) else { return };
        // SAFETY: [H2] tm points to the field that holds our parameter, which is a number.
        let number = unsafe { params.param.as_ref() }.and_then(|number| u64::try_from(number.addr()).ok());
        if let Some(number) = number {
            gateway.worker.notify_reply(number, &outcome(params.rpl, params.code));
        }
    });
}

/// pua: a SUBSCRIBE of an XMPP user was answered, or not in time. Runs where [`message_completed`] does.
pub(super) extern "C" fn subscribe_completed(presentity: *mut sys::ua_pres, reply: *mut sys::sip_msg) -> c_int {
    guard::answer(OK, || {
        // SAFETY: [H2] pua passes the record of this call.
        let Some(record) = (unsafe { presentity.as_ref() }) else { return OK };
        if record.event != sys::PRESENCE_EVENT {
            return OK;
        }
        let reply = outcome(reply, 0);
        // SAFETY: [H2] texts of the record.
        let watcher = unsafe { msg::text_at(record.watcher_uri) };
        // SAFETY: [H2] as above.
        let presentity = unsafe { msg::text_at(record.pres_uri) };
        if let Some(gateway) = GATEWAY.get() {
            gateway.worker.subscribe_reply(watcher, presentity, &reply);
        }
        OK
    })
}

/// pua: a PUBLISH of a call, or of an XMPP user's presence, was answered, or not in time. Runs where [`message_completed`] does.
pub(super) extern "C" fn publish_completed(record: *mut sys::ua_pres, reply: *mut sys::sip_msg) -> c_int {
    guard::answer(OK, || {
        // SAFETY: [H2] pua passes the record of this call.
        let Some(record) = (unsafe { record.as_ref() }) else { return OK };
        let Some(gateway) = GATEWAY.get() else { return OK };
        // SAFETY: [H2] a text of the record.
        let id = unsafe { msg::text(record.id) };
        if record.event == sys::DIALOG_EVENT {
            gateway.worker.call_published(id);
        } else if record.event == sys::PRESENCE_EVENT {
            // SAFETY: [H2] as above.
            let presentity = unsafe { msg::text_at(record.pres_uri) };
            // SAFETY: [H2] as above.
            let replaced = unsafe { msg::text(record.etag) };
            gateway.worker.publish_reply(presentity, id, &outcome(reply, 0), replaced);
        }
        OK
    })
}

/// presence: may this watcher see this presentity? Runs in any worker, and in the XMPP process.
pub(super) extern "C" fn authorize(subscription: *mut sys::subscription) -> c_int {
    guard::answer(ERROR, || match GATEWAY.get() {
        // SAFETY: [H2] the subscription is that of this call.
        Some(gateway) => unsafe { presence::authorize(&gateway.worker, subscription) },
        None => ERROR,
    })
}

/// presence: a SUBSCRIBE (presence). Runs in any worker.
pub(super) extern "C" fn subscribed(msg: *mut sys::sip_msg) -> c_int {
    // SAFETY: [H2] the message is that of this call.
    guard::answer(ERROR, || unsafe { presence::subscribed(msg) })
}

/// presence: a PUBLISH (presence). Runs in any worker.
pub(super) extern "C" fn published(msg: *mut sys::sip_msg) -> c_int {
    // SAFETY: [H2] the message is that of this call.
    guard::answer(ERROR, || unsafe { published::published(msg) })
}

/// presence: all publications of one presentity. Runs in any worker, in a timer process, and in the XMPP process.
pub(super) extern "C" fn publications(
    user: *mut sys::str_,
    host: *mut sys::str_,
    bodies: *mut *mut sys::str_,
    count: c_int,
    withdrawn: c_int,
) -> *mut sys::str_ {
    // SAFETY: [H2] texts of this call.
    guard::answer(ptr::null_mut(), || unsafe { published::aggregate(user, host, bodies, count, withdrawn) })
}

/// presence: the rules of a presentity. Runs in any worker, and in the XMPP process.
pub(super) extern "C" fn rules_document(user: *mut sys::str_, host: *mut sys::str_, document: *mut *mut sys::str_) -> c_int {
    guard::answer(ERROR, || match GATEWAY.get() {
        // SAFETY: [H2] texts of this call, and its place for the answer.
        Some(gateway) => unsafe { presence::rules_document(&gateway.worker, user, host, document) },
        None => ERROR,
    })
}

/// presence: all documents of one presentity's dialogs. Runs in any worker, and in a timer process.
pub(super) extern "C" fn dialog_aggregate(
    user: *mut sys::str_,
    host: *mut sys::str_,
    bodies: *mut *mut sys::str_,
    count: c_int,
    withdrawn: c_int,
) -> *mut sys::str_ {
    // SAFETY: [H2] texts of this call.
    guard::answer(ptr::null_mut(), || unsafe { dialog_event::aggregate(user, host, bodies, count, withdrawn) })
}

/// presence: the document of one watcher. Runs where [`dialog_aggregate`] does.
pub(super) extern "C" fn dialog_notification(subscription: *mut sys::subscription, body: *mut sys::str_) -> *mut sys::str_ {
    // SAFETY: [H2] subscription and text of this call.
    guard::answer(ptr::null_mut(), || unsafe { dialog_event::notification(subscription, body) })
}

/// presence has done with a document.
pub(super) extern "C" fn dialog_free(text: *mut c_char) {
    // SAFETY: [H5] what one of the two functions above made.
    guard::answer((), || unsafe { host::dialog_event::free(text) });
}

/// presence: a SUBSCRIBE (dialog). Runs in any worker.
pub(super) extern "C" fn dialog_subscribed(msg: *mut sys::sip_msg) -> c_int {
    guard::answer(ERROR, || {
        if let Some(event) = host::dialog_event::get() {
            // SAFETY: [H2] the message is that of this call.
            unsafe { dialog_event::subscribed(event, msg) };
            // SAFETY: [H2] as above.
            unsafe { contact_lamps::subscribed(msg) };
        }
        OK
    })
}

/// presence: a PUBLISH (dialog). Runs in any worker.
pub(super) extern "C" fn dialog_published(msg: *mut sys::sip_msg) -> c_int {
    guard::answer(ERROR, || {
        // SAFETY: [H2] the message is that of this call.
        unsafe { dialog_event::published(msg) };
        OK
    })
}

/// A request has been through the script: maybe a PUBLISH or a SUBSCRIBE (dialog). Runs in any worker.
pub(super) extern "C" fn dialog_script_ended(_msg: *mut sys::sip_msg, _flags: c_uint, _: *mut c_void) -> c_int {
    guard::answer(1, || {
        host::dialog_event::script_ended(dialog_event::tell_watchers);
        1
    })
}

/// presence: may this watcher see these dialogs? Runs where [`authorize`] does.
pub(super) extern "C" fn dialog_authorize(subscription: *mut sys::subscription) -> c_int {
    guard::answer(ERROR, || match GATEWAY.get() {
        // SAFETY: [H2] the subscription is that of this call.
        Some(gateway) => unsafe { contact_lamps::authorize(&gateway.worker, subscription) },
        None => ERROR,
    })
}

/// presence: the rules of a presentity's dialogs. There are none.
pub(super) extern "C" fn dialog_rules(_: *mut sys::str_, _: *mut sys::str_, _: *mut *mut sys::str_) -> c_int {
    OK
}

/// presence: the body of a NOTIFY. Runs in any worker, and in the processes that send.
pub(super) extern "C" fn notify_body(
    user: *mut sys::str_,
    host: *mut sys::str_,
    bodies: *mut *mut sys::str_,
    count: c_int,
    expired: c_int,
) -> *mut sys::str_ {
    guard::answer(ptr::null_mut(), || match GATEWAY.get() {
        // SAFETY: [H2] texts of this call.
        Some(gateway) => unsafe { presence::notify_body(&gateway.worker, user, host, bodies, count, expired) },
        None => ptr::null_mut(),
    })
}

/// A request has been through the script. Runs in any worker.
pub(super) extern "C" fn script_ended(_msg: *mut sys::sip_msg, _flags: c_uint, _: *mut c_void) -> c_int {
    guard::answer(1, || {
        if let Some(gateway) = GATEWAY.get() {
            presence::script_ended(gateway);
            published::script_ended();
        }
        1
    })
}

fn parameter(index: usize, given: Given<'_>) -> c_int {
    match parameters::take(index, given) {
        Ok(()) => OK,
        Err(refusal) => {
            ::log::error!("{refusal}");
            ERROR
        }
    }
}

/// Runs a script function; where something is wrong, the script finds what to reply.
fn script(msg: *mut sys::sip_msg, call: impl FnOnce() -> ScriptResult) -> c_int {
    // SAFETY: [H2] the message of the running script function.
    guard::script(call, |refusal| unsafe { reply::leave(msg, &refusal) })
}

/// Runs a script function on the copy of a MESSAGE or a NOTIFY.
fn with_request(
    function: &str,
    msg: *mut sys::sip_msg,
    call: impl FnOnce(&Gateway, &Received<'_>, &Request) -> ScriptResult,
) -> ScriptResult {
    with_copy(function, msg, |received| received.request(), call)
}

/// Runs a script function on a copy of the request; what is wrong with the request is logged here.
fn with_copy(
    function: &str,
    msg: *mut sys::sip_msg,
    copy: impl FnOnce(&Received<'_>) -> Result<Request, msg::Malformed>,
    call: impl FnOnce(&Gateway, &Received<'_>, &Request) -> ScriptResult,
) -> ScriptResult {
    let Some(gateway) = GATEWAY.get() else { return ScriptResult::Failed };
    // SAFETY: [H2] the message of the running script function; `received` ends with it.
    let received = unsafe { Received::parse(msg) };
    match received.and_then(|received| copy(&received).map(|request| (received, request))) {
        Ok((received, request)) => call(gateway, &received, &request),
        Err(cause) => {
            ::log::warn!("{function}: {cause}");
            ScriptResult::Refused(Refusal::MALFORMED)
        }
    }
}

fn shown(msg: *mut sys::sip_msg, letters: &[u8]) -> ScriptResult {
    parties("dialoginfo_set", letters, |gateway, parties| dialog_calls::show(gateway, msg, parties))
}

fn muted(msg: *mut sys::sip_msg, letters: &[u8]) -> ScriptResult {
    parties("dialoginfo_mute_branch", letters, |gateway, parties| dialog_calls::mute_branch(gateway, msg, parties))
}

fn called(msg: *mut sys::sip_msg, callee: &[u8]) -> ScriptResult {
    let Some(gateway) = GATEWAY.get() else { return ScriptResult::Failed };
    host::dialog_calls::result("dialoginfo_set_branch_callee", dialog_calls::set_branch_callee(gateway, msg, callee))
}

/// Runs a function that takes the letters of parties.
fn parties(function: &str, letters: &[u8], call: impl FnOnce(&Gateway, Parties) -> Option<()>) -> ScriptResult {
    let Some(gateway) = GATEWAY.get() else { return ScriptResult::Failed };
    host::dialog_calls::for_parties(function, letters, |parties| call(gateway, parties))
}

/// The value of a script parameter that may be missing.
fn optional<'a>(msg: *mut sys::sip_msg, parameter: *mut c_char) -> &'a [u8] {
    if parameter.is_null() { &[] } else { evaluated(msg, parameter).unwrap_or_default() }
}

fn winfo(request_uri: &[u8], expires: &[u8]) -> ScriptResult {
    let Some(gateway) = GATEWAY.get() else { return ScriptResult::Failed };
    match gateway.worker.winfo_subscription(request_uri, expires) {
        Ok(subscribe) => gateway.worker.winfo_result(&subscribe, calls::subscribe(gateway, &subscribe)),
        Err(result) => result,
    }
}

/// The value of a script parameter for this message, variables replaced.
fn evaluated<'a>(msg: *mut sys::sip_msg, parameter: *mut c_char) -> Option<&'a [u8]> {
    let mut value = sys::str_ { s: std::ptr::null_mut(), len: 0 };
    // SAFETY: [H1][H2] the parameter is what its fixup made of it, the message that of the running function.
    if unsafe { sys::get_str_fparam(&raw mut value, msg, parameter.cast()) } < 0 {
        return None;
    }
    // SAFETY: [H2] the value stands in the script, in the message, or in a buffer that holds several values.
    Some(unsafe { msg::text(value) })
}

/// What a reply says that may be absent or made up (`FAKED_REPLY`): then it is `code`, or a timeout where that is none.
fn outcome(reply: *const sys::sip_msg, code: c_int) -> Reply {
    let status = u16::try_from(code).ok().filter(|code| (100..700).contains(code));
    // SAFETY: [H2] only compares the pointer.
    if unsafe { sys::xmpp_gateway_is_reply(reply) } == 0 {
        return Reply::local(status);
    }
    // SAFETY: [H2] a reply that lives as long as the callback runs.
    let Some(reply) = (unsafe { reply.as_ref() }) else { return Reply::local(status) };
    // SAFETY: [H2] the first line of a reply holds the reply's form.
    let line = unsafe { reply.first_line.u.reply };
    let Some(status) = status.or(u16::try_from(line.statuscode).ok()) else { return Reply::local(None) };
    // SAFETY: [H2] a text of the reply.
    let reason = unsafe { msg::text(line.reason) };
    // SAFETY: [H2] what was received, or the copy of it.
    let raw = unsafe { msg::text(sys::str_ { s: reply.buf, len: c_int::try_from(reply.len).unwrap_or(0) }) };
    Reply::received(status, reason, raw)
}
