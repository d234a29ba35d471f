//! Requests of our own: MESSAGE and NOTIFY through tm, PUBLISH and SUBSCRIBE through pua, and what comes back.

use std::ffi::CStr;
use std::ffi::c_int;
use std::ffi::c_ulong;
use std::mem;
use std::mem::zeroed;
use std::ptr;
use std::time::Duration;

use memchr::memmem;

use super::Module;
use super::callbacks;
use super::msg;
use super::sys;
use crate::calls::publisher::Publication;
use crate::host::descriptor;
use crate::host::lanes::Jobs;
use crate::host::lanes::task;
use crate::host::lanes::task::Requests;
use crate::host::lanes::task::Task;
use crate::host::origin::HostMemory;
use crate::host::publications::Operation;
use crate::process::host::HostError;
use crate::sip::Event;
use crate::sip::Message;
use crate::sip::Notify;
use crate::sip::Origin;
use crate::sip::Publish;
use crate::sip::Reply;
use crate::sip::Request;
use crate::sip::Subscribe;
use crate::sip::Uri;
use crate::sip::Withdrawal;

/// tm's functions; `None` if it is not loaded.
pub(super) fn bind_tm() -> Option<sys::tm_binds> {
    // SAFETY: [H3] plain C: optional functions, for which zero is "none".
    let mut tm: sys::tm_binds = unsafe { zeroed() };
    // SAFETY: [H1][H5] in mod_init, into a table of ours.
    (unsafe { sys::host_load_tm(&raw mut tm) } >= 0).then_some(tm)
}

/// pua's functions; `None` if it is not loaded.
pub(super) fn bind_pua() -> Option<sys::pua_api_t> {
    // SAFETY: [H3] as above.
    let mut pua: sys::pua_api_t = unsafe { zeroed() };
    // SAFETY: [H1][H5] as above.
    (unsafe { sys::host_load_pua(&raw mut pua) } >= 0).then_some(pua)
}

/// Asks pua to tell the replies to our SUBSCRIBEs. Both flags: pua turns the first into the second once a dialog stands.
pub(super) fn hear_subscribe_replies(pua: &sys::pua_api_t) -> Option<()> {
    let register = pua.register_puacb?;
    let types = sys::XMPP_INITIAL_SUBS | sys::XMPP_SUBSCRIBE;
    // SAFETY: [H1] in mod_init; no parameter, as pua would free it.
    (unsafe { register(types, Some(callbacks::subscribe_completed), ptr::null_mut()) } >= 0).then_some(())
}

/// Asks pua to tell the replies to our PUBLISHes of presence: those that took the state, as it forgets the others before it tells.
pub(super) fn hear_publish_replies(pua: &sys::pua_api_t) -> Option<()> {
    let register = pua.register_puacb?;
    // SAFETY: [H1] in mod_init; no parameter, as pua would free it.
    (unsafe { register(sys::XMPP_PUBLISH, Some(callbacks::publish_completed), ptr::null_mut()) } >= 0).then_some(())
}

/// The workers do it: OpenSIPS has a pipe that all of them take jobs from.
impl Jobs for Module {
    fn perform(&self, task: Task<'_>) {
        task::perform(task, self, &self.worker, &self.lanes);
    }

    fn make(&self, lane: usize) -> bool {
        // SAFETY: [H1] the parameter is a number, no address.
        !is_crowded() && unsafe { sys::ipc_dispatch_rpc(Some(callbacks::do_job), ptr::without_provenance_mut(lane)) >= 0 }
    }

    fn is_awaited(&self) -> bool {
        // SAFETY: [H1] reads a variable of this process.
        let socket = unsafe { sys::host_own_socket() };
        socket >= 0 && descriptor::is_ready(socket, libc::POLLIN, Duration::ZERO)
    }
}

impl Requests for Module {
    fn message(&self, message: &Message) -> Result<(), HostError> {
        self::message(self, message)
    }

    fn notify(&self, notify: &Notify) -> Result<(), HostError> {
        self::notify(self, notify)
    }

    fn publish(&self, publish: &Publish) -> Result<(), HostError> {
        self::publish(self, publish)
    }

    fn withdraw(&self, withdrawal: &Withdrawal) -> Result<(), HostError> {
        self::withdraw(self, withdrawal)
    }

    fn subscribe(&self, subscribe: &Subscribe) -> Result<(), HostError> {
        self::subscribe(self, subscribe)
    }

    fn state(&self, publish: &Publish, operation: Operation) -> Result<(), HostError> {
        self.presence.as_ref().ok_or(HostError::Missing("presence"))?.publish(publish, operation)
    }

    fn lamp(&self, publish: &Publish, operation: Operation) -> Result<(), HostError> {
        self.contact_lamps.as_ref().ok_or(HostError::Missing("presence"))?.publish(publish, operation)
    }

    fn call(&self, publication: &Publication) -> Result<(), HostError> {
        match &self.dialog_event {
            Some(event) => event.publish(publication),
            None => publish_call(self, &publication.publish),
        }
    }

    fn judge(&self, presentity: &Uri) -> Result<(), HostError> {
        let lamps = self.contact_lamps.as_ref().map_or(Ok(()), |lamps| lamps.watchers_changed(presentity));
        self.presence.as_ref().ok_or(HostError::Missing("presence_xml"))?.watchers_changed(presentity).and(lamps)
    }
}

/// Whether so many jobs wait for the workers that making one might mean to wait.
///
/// The host's end of that pipe blocks when it is full, and so would the XMPP process; so would a worker, and if all workers did, nobody
/// would be left to read. We add one job a lane at the most, all others are those of other modules. Between this look and our write
/// they would have to add as many jobs as the rest of the pipe holds: 2500, where the kernel gives it the usual 64 KiB.
fn is_crowded() -> bool {
    let mut waiting: c_int = 0;
    // SAFETY: [H1] set by the core before it forked; the number is the same in all processes.
    let pipe = unsafe { sys::ipc_shared_fd_read };
    // SAFETY: [H2] writes an `int`, which lives through the call.
    let asked = unsafe { libc::ioctl(pipe, libc::FIONREAD, &raw mut waiting) };
    asked < 0 || waiting >= CROWD
}

/// Bytes of jobs, some 170 of them: half of the smallest pipe that the kernel makes.
const CROWD: c_int = 4096;

/// Sends a MESSAGE.
///
/// tm's function for requests outside dialogs makes a dialog for each, of five blocks of shared memory, for as long as it runs. The
/// one for requests within dialogs takes a dialog of our own, and with it a Call-ID of our choice: it costs half as much.
pub(super) fn message(module: &Module, message: &Message) -> Result<(), HostError> {
    let request = module.tm.t_request_within.ok_or(HostError::Missing("tm"))?;
    let unique = format!("{:016x}", message.unique);
    let (mut method, mut headers, mut body) = (string("MESSAGE"), string(&message.headers), bytes(&message.body));
    // SAFETY: [H3] plain C: integers, strings and pointers, for which zero is "none".
    let mut dialog: sys::dlg_t = unsafe { zeroed() };
    // Only so does tm take it; it is never answered to, so no state follows.
    dialog.state = sys::DLG_CONFIRMED;
    dialog.id.call_id = string(message.call_id.as_deref().unwrap_or(&unique));
    dialog.id.loc_tag = string(&unique);
    dialog.loc_seq.is_set = 1;
    dialog.mf_enforced = 1;
    dialog.mf_value = message.max_forwards.into();
    dialog.loc_uri = string(&message.from);
    dialog.rem_uri = string(&message.to);
    dialog.obp = optional(module.config.outbound_proxy.as_deref());
    let origin = module.origins.leave(message.origin.as_ref()).ok_or(HostError::Memory)?;
    // SAFETY: [H1][H5] the strings and the dialog live through the call, tm copies what it keeps and frees nothing.
    let code = unsafe {
        request(
            &raw mut method,
            &raw mut headers,
            &raw mut body,
            &raw mut dialog,
            Some(callbacks::message_completed),
            origin,
            Some(callbacks::release_origin),
        )
    };
    let sent = accepted(code);
    if sent.is_err() {
        // SAFETY: [H5] tm does not call the release function of a request that it refused.
        drop(unsafe { module.origins.take_back(origin) });
    }
    sent
}

/// Sends a NOTIFY in the dialog of its watcher. tm carries its number to the callback, in place of a pointer.
fn notify(module: &Module, notify: &Notify) -> Result<(), HostError> {
    let request = module.tm.t_request_within.ok_or(HostError::Missing("tm"))?;
    let (mut method, mut headers, mut body) = (string("NOTIFY"), string(&notify.headers), bytes(&notify.body));
    let ours = &notify.dialog;
    let texts: Vec<String> = ours.routes().map(|uri| ["<", uri, ">"].concat()).collect();
    let mut routes = route_set(&texts);
    // SAFETY: [H3] plain C: integers, strings and pointers, for which zero is "none".
    let mut dialog: sys::dlg_t = unsafe { zeroed() };
    dialog.state = sys::DLG_CONFIRMED;
    dialog.id.call_id = string(ours.call_id());
    dialog.id.loc_tag = string(ours.local_tag());
    dialog.id.rem_tag = string(ours.remote_tag());
    // tm counts before it sends.
    dialog.loc_seq.value = notify.cseq.saturating_sub(1);
    dialog.loc_seq.is_set = 1;
    dialog.loc_uri = string(ours.local_uri());
    dialog.rem_uri = string(ours.remote_uri());
    dialog.rem_target = string(ours.remote_target());
    dialog.route_set = routes.first_mut().map_or(ptr::null_mut(), ptr::from_mut);
    if !ours.socket().is_empty() {
        let mut socket = string(ours.socket());
        // SAFETY: [H1][H5] both live through the call; the host looks for a socket of its own, which lives as long as it.
        unsafe { sys::host_prefer_socket(&raw mut dialog, &raw mut socket) };
    }
    let number = usize::try_from(notify.number).unwrap_or(0);
    // SAFETY: [H1][H5] the strings, the routes and the dialog live through the call, tm copies what it keeps and frees nothing.
    let code = unsafe {
        request(
            &raw mut method,
            &raw mut headers,
            &raw mut body,
            &raw mut dialog,
            Some(callbacks::notify_completed),
            ptr::without_provenance_mut(number),
            None,
        )
    };
    accepted(code)
}

/// The routes as tm's list: each text is a URI in its brackets.
fn route_set(texts: &[String]) -> Vec<sys::rr_t> {
    let route = |text: &String| {
        // SAFETY: [H3] as above.
        let mut route: sys::rr_t = unsafe { zeroed() };
        route.len = c_int::try_from(text.len()).unwrap_or(0);
        // tm writes what stands here, `len` bytes of it.
        route.nameaddr.name = string(text);
        route.nameaddr.len = route.len;
        route.nameaddr.uri = string(text.trim_start_matches('<').trim_end_matches('>'));
        route
    };
    let mut routes: Vec<sys::rr_t> = texts.iter().map(route).collect();
    let mut next: *mut sys::rr_t = ptr::null_mut();
    for route in routes.iter_mut().rev() {
        route.next = next;
        next = ptr::from_mut(route);
    }
    routes
}

/// What a NOTIFY came to: its number, and the final reply. `None` where that is not there yet.
///
/// # Safety
/// What tm gives to a callback for completed requests.
pub(super) unsafe fn notify_outcome(completed: *mut sys::tmcb_params) -> Option<(u64, Reply)> {
    // SAFETY: [H2] as the caller promises.
    let completed = unsafe { completed.as_ref() }?;
    let status = u16::try_from(completed.code).ok().filter(|code| *code >= 200)?;
    // SAFETY: [H2] tm points to the field that holds our parameter, which is a number.
    let number = unsafe { completed.param.as_ref() }?.addr();
    // SAFETY: [H2] a reply, NULL, or the pointer that means none.
    let reply = unsafe { received(completed.rpl) }.unwrap_or_else(|| Reply::local(Some(status)));
    Some((u64::try_from(number).ok()?, reply))
}

/// The least that tm can be asked for.
#[cfg(feature = "bench")]
pub(super) fn bare_request(module: &Module, message: &Message) -> Result<(), HostError> {
    let request = module.tm.t_request.ok_or(HostError::Missing("tm"))?;
    let (mut method, mut to, mut from) = (string("MESSAGE"), string(&message.to), string(&message.from));
    let (mut headers, mut body) = (string(&message.headers), bytes(&message.body));
    let mut next_hop = optional(module.config.outbound_proxy.as_deref());
    // SAFETY: [H1][H2] tm copies all texts.
    let code = unsafe {
        request(
            &raw mut method,
            ptr::null_mut(),
            &raw mut to,
            &raw mut from,
            &raw mut headers,
            &raw mut body,
            &raw mut next_hop,
            None,
            ptr::null_mut(),
            None,
        )
    };
    accepted(code)
}

/// Publishes, refreshes or withdraws.
fn publish(module: &Module, publish: &Publish) -> Result<(), HostError> {
    send_publish(module, publish, sys::PRESENCE_EVENT, sys::XMPP_PUBLISH, c"")
}

/// Ends a publication that pua may not know. It is sent as a MESSAGE is, and its reply says nothing that we do not know.
fn withdraw(module: &Module, withdrawal: &Withdrawal) -> Result<(), HostError> {
    let request = module.tm.t_request_within.ok_or(HostError::Missing("tm"))?;
    let headers = withdrawal.headers();
    let (mut method, mut headers, mut body) = (string("PUBLISH"), string(&headers), bytes(&[]));
    // SAFETY: [H3] plain C: integers, strings and pointers, for which zero is "none".
    let mut dialog: sys::dlg_t = unsafe { zeroed() };
    dialog.state = sys::DLG_CONFIRMED;
    // Unique as it is: nobody else has a publication by this tag, and it ends but once.
    dialog.id.call_id = string(&withdrawal.entity_tag);
    dialog.id.loc_tag = string(&withdrawal.entity_tag);
    dialog.loc_seq.is_set = 1;
    dialog.loc_uri = string(&withdrawal.presentity);
    dialog.rem_uri = string(&withdrawal.presentity);
    dialog.obp = presence_hop(module);
    // SAFETY: [H1][H5] the strings and the dialog live through the call, tm copies what it keeps and frees nothing.
    let code = unsafe { request(&raw mut method, &raw mut headers, &raw mut body, &raw mut dialog, None, ptr::null_mut(), None) };
    accepted(code)
}

/// Tells pua of the event that calls are published under; another module may have done so.
pub(super) fn announce_dialogs(pua: &sys::pua_api_t) -> Option<()> {
    let (name, kind) = (c"dialog".as_ptr().cast_mut(), DIALOG_INFO.as_ptr().cast_mut());
    // SAFETY: [H1][H5] in mod_init; pua copies both texts.
    (unsafe { (pua.add_event?)(sys::DIALOG_EVENT, name, kind, None) } >= 0).then_some(())
}

const DIALOG_INFO: &CStr = c"application/dialog-info+xml";

/// Publishes or changes the dialog of a call: where pua has none to change, it makes one.
fn publish_call(module: &Module, publish: &Publish) -> Result<(), HostError> {
    send_publish(module, publish, sys::DIALOG_EVENT, sys::DIALOG_PUBLISH, DIALOG_INFO)
}

fn send_publish(module: &Module, publish: &Publish, event: c_int, source: c_int, kind: &CStr) -> Result<(), HostError> {
    let send = module.pua.send_publish.ok_or(HostError::Missing("pua"))?;
    let (mut presentity, mut body) = (string(&publish.presentity), bytes(publish.body.as_deref().unwrap_or_default()));
    // SAFETY: [H3] plain C: integers, strings and pointers, for which zero is "none".
    let mut publication: sys::publ_info_t = unsafe { zeroed() };
    publication.id = string(&publish.id);
    publication.pres_uri = &raw mut presentity;
    publication.source_flag = source;
    publication.event = event;
    publication.outbound_proxy = presence_hop(module);
    if !kind.is_empty() {
        publication.content_type = bytes(kind.to_bytes());
    }
    if publish.body.is_some() {
        publication.body = &raw mut body;
        publication.expires = seconds(publish.expires);
    }
    // SAFETY: [H1][H5] everything lives through the call, pua copies it.
    match unsafe { send(&raw mut publication) } {
        // Nothing is published that could be withdrawn: it is as it should be.
        sys::ERR_PUBLISH_NO_RECORD if publish.body.is_none() => Ok(()),
        code => accepted(code),
    }
}

/// Subscribes, refreshes or ends.
pub(super) fn subscribe(module: &Module, subscribe: &Subscribe) -> Result<(), HostError> {
    let send = module.pua.send_subscribe.ok_or(HostError::Missing("pua"))?;
    let (mut presentity, mut watcher) = (string(&subscribe.presentity), string(&subscribe.watcher));
    let (mut contact, mut next_hop) = (string(&module.config.server_address), presence_hop(module));
    // SAFETY: [H3] as above.
    let mut subscription: sys::subs_info_t = unsafe { zeroed() };
    subscription.pres_uri = &raw mut presentity;
    subscription.watcher_uri = &raw mut watcher;
    subscription.contact = &raw mut contact;
    if !next_hop.s.is_null() {
        subscription.outbound_proxy = &raw mut next_hop;
    }
    subscription.expires = seconds(subscribe.expires);
    (subscription.event, subscription.source_flag) = match subscribe.event {
        Event::Presence => (sys::PRESENCE_EVENT, sys::XMPP_INITIAL_SUBS),
        Event::PresenceWinfo => (sys::PWINFO_EVENT, sys::XMPP_SUBSCRIBE),
    };
    let mut transaction: *mut sys::cell = ptr::null_mut();
    hold_transaction(module, &raw mut transaction);
    module.pending.sending(subscribe, || {
        // SAFETY: [H1][H5] everything lives through the call, pua copies it.
        let code = unsafe { send(&raw mut subscription) };
        hold_transaction(module, ptr::null_mut());
        remember(module, subscribe, transaction);
        accepted(code)
    })
}

/// Has tm note, with a reference, the transaction of the next request that this process sends; NULL ends that.
fn hold_transaction(module: &Module, holder: *mut *mut sys::cell) {
    if let Some(hold) = module.tm.setlocalTholder {
        // SAFETY: [H1] the holder lives until this is called with NULL.
        unsafe { hold(holder) };
    }
}

/// Notes Call-ID and From-tag of a SUBSCRIBE that pua has just sent, and lets go of its transaction.
fn remember(module: &Module, subscribe: &Subscribe, transaction: *mut sys::cell) {
    // SAFETY: [H2] NULL, or a transaction that we hold a reference to.
    let Some(cell) = (unsafe { transaction.as_ref() }) else { return };
    // SAFETY: [H2][H3] the whole header, in the buffer of the request.
    let call_id = unsafe { msg::bytes(&raw const cell.callid) };
    // SAFETY: [H2][H3] as above.
    let from = unsafe { msg::bytes(&raw const cell.from) };
    let call_id = call_id.splitn(2, |byte| *byte == b':').nth(1).unwrap_or_default().trim_ascii();
    if let Some(tag) = memmem::rfind(&from, TAG).and_then(|at| from.get(at.checked_add(TAG.len())?..)) {
        module.pending.sent(subscribe, call_id, tag.trim_ascii());
    }
    if let Some(release) = module.tm.unref_cell {
        // SAFETY: [H2] the reference that tm took for us, given back once.
        unsafe { release(transaction) };
    }
}

/// tm writes the tag last in From.
const TAG: &[u8] = b";tag=";

/// Whether a NOTIFY belongs to a subscription of ours: one that pua holds, or one in motion. The latter first: until its entry goes,
/// pua has the dialog, or nobody has.
pub(super) fn is_known_dialog(module: &Module, notify: &Request) -> bool {
    module.pending.knows(notify) || is_dialog(&module.pua, notify)
}

fn is_dialog(pua: &sys::pua_api_t, notify: &Request) -> bool {
    let Some(is_dialog) = pua.is_dialog else { return false };
    let [watcher, presentity, call_id, to_tag, from_tag] =
        [&notify.to, &notify.from, &notify.call_id, &notify.from_tag, &notify.to_tag].map(|field| Terminated::new(field));
    let (mut watcher, mut presentity) = (watcher.string(), presentity.string());
    // SAFETY: [H3] plain C: integers, strings and pointers, for which zero is "none".
    let mut dialog: sys::ua_pres_t = unsafe { zeroed() };
    dialog.watcher_uri = &raw mut watcher;
    dialog.pres_uri = &raw mut presentity;
    dialog.call_id = call_id.string();
    dialog.to_tag = to_tag.string();
    dialog.from_tag = from_tag.string();
    dialog.flag = sys::XMPP_SUBSCRIBE;
    // SAFETY: [H1][H2] everything lives through the call, pua only reads it.
    let answer = unsafe { is_dialog(&raw mut dialog) };
    answer == 0
}

/// What a finished MESSAGE means for its sender; `None` where it was delivered. The origin is given back: the transaction stays for
/// some seconds more.
///
/// # Safety
/// What tm gives to a callback for completed requests.
pub(super) unsafe fn message_failure(module: &Module, completed: *mut sys::tmcb_params) -> Option<(Origin, Reply)> {
    // SAFETY: [H2] as the caller promises.
    let completed = unsafe { completed.as_ref() }?;
    // tm tells provisional replies too, if the operator wants them told (`pass_provisional_replies`).
    if completed.code < 200 {
        return None;
    }
    // SAFETY: [H2] tm points to the field that holds our parameter.
    let block = mem::replace(unsafe { completed.param.as_mut() }?, ptr::null_mut());
    // SAFETY: [H5] what we left for this request, and nothing is left in its place.
    let kept = unsafe { module.origins.take_back(block) }?;
    let status = u16::try_from(completed.code).ok().filter(|status| *status >= 300)?;
    // SAFETY: [H2] a reply, NULL, or the pointer that means none.
    let reply = unsafe { received(completed.rpl) }.unwrap_or_else(|| Reply::local(Some(status)));
    Some((kept.origin()?, reply))
}

/// The host's shared memory.
pub(super) const SHARED_MEMORY: HostMemory = HostMemory {
    // SAFETY: [H1] the host's allocator, in a process of the host.
    allocate: |size| c_ulong::try_from(size).map_or(ptr::null_mut(), |size| unsafe { sys::host_shm_malloc(size) }),
    // SAFETY: [H5] as the field promises.
    free: |block| unsafe { sys::host_shm_free(block) },
};

/// The final reply to a SUBSCRIBE (presence) of ours.
pub(super) struct SubscribeReply {
    pub(super) watcher: Vec<u8>,
    pub(super) presentity: Vec<u8>,
    pub(super) reply: Reply,
}

/// Call/Transaction Does Not Exist (RFC 3261 §21.4.19).
const NO_DIALOG: u16 = 481;

/// How long pua may take to subscribe anew, in seconds.
const ANEW: u32 = 5;

/// What pua's callback says; `None` where it is not for us, or not final.
///
/// # Safety
/// What pua gives to a callback for SUBSCRIBE.
pub(super) unsafe fn subscribe_reply(subscription: *const sys::ua_pres_t, reply: *const sys::sip_msg) -> Option<SubscribeReply> {
    // SAFETY: [H2] as the caller promises.
    let subscription = unsafe { subscription.as_ref() }?;
    if subscription.event & sys::PRESENCE_EVENT == 0 {
        return None;
    }
    // SAFETY: [H2] a reply, NULL, or the pointer that means none.
    let mut reply = unsafe { received(reply) };
    // A refused refresh: the dialog is over. pua subscribes anew by itself, and the reply to that is the one that counts; but it does so
    // without the next hop, and may get nowhere. So it has some time, and then it is our turn.
    if !subscription.call_id.s.is_null() && reply.as_ref().is_some_and(|reply| reply.status >= 300) {
        reply = Some(Reply { retry_after: Some(ANEW), ..Reply::local(Some(NO_DIALOG)) });
    }
    Some(SubscribeReply {
        // SAFETY: [H2][H3] strings of the subscription.
        watcher: unsafe { msg::bytes(subscription.watcher_uri) },
        // SAFETY: [H2][H3] as above.
        presentity: unsafe { msg::bytes(subscription.pres_uri) },
        reply: reply.unwrap_or_else(|| Reply::local(None)),
    })
}

/// What pua's callback says of a PUBLISH: presentity, id, and the reply. `None` where it is not for us.
///
/// # Safety
/// What pua gives to a callback for PUBLISH.
pub(super) unsafe fn publish_reply(
    record: *const sys::ua_pres_t,
    reply: *const sys::sip_msg,
) -> Option<(Vec<u8>, Vec<u8>, Reply)> {
    // SAFETY: [H2] as the caller promises.
    let record = unsafe { record.as_ref() }.filter(|record| record.event & sys::PRESENCE_EVENT != 0)?;
    // SAFETY: [H2] a reply, NULL, or the pointer that means none.
    let reply = unsafe { received(reply) }.unwrap_or_else(|| Reply::local(None));
    // SAFETY: [H2][H3] a string of the record.
    let presentity = unsafe { msg::bytes(record.pres_uri) };
    // SAFETY: [H2][H3] as above.
    let id = unsafe { msg::bytes(&raw const record.id) };
    Some((presentity, id, reply))
}

/// What a reply says; `None` where none came.
///
/// # Safety
/// A reply, NULL, or the host's pointer that means "none came".
unsafe fn received(reply: *const sys::sip_msg) -> Option<Reply> {
    // SAFETY: [H2] compares the pointer only.
    if unsafe { sys::host_is_reply(reply) } == 0 {
        return None;
    }
    // SAFETY: [H2] it is a reply.
    let reply = unsafe { reply.as_ref() }?;
    // SAFETY: [H2] and so this is the reply of the union.
    let line = unsafe { &reply.first_line.u.reply };
    // SAFETY: [H2][H3] the reason points into the reply.
    let reason = unsafe { msg::bytes(&raw const line.reason) };
    let raw = sys::str_ { s: reply.buf, len: c_int::try_from(reply.len).unwrap_or(0) };
    // SAFETY: [H2][H3] what was received, or the copy of it.
    let raw = unsafe { msg::bytes(&raw const raw) };
    Some(Reply::received(u16::try_from(line.statuscode).ok()?, &reason, &raw))
}

/// Where SUBSCRIBE and PUBLISH go.
fn presence_hop(module: &Module) -> sys::str_ {
    optional(module.config.presence_server.as_deref().or(module.config.outbound_proxy.as_deref()))
}

/// tm and pua answer below 0 for an error.
pub(super) fn accepted(code: c_int) -> Result<(), HostError> {
    if code < 0 { Err(HostError::Refused(code)) } else { Ok(()) }
}

fn seconds(expires: u32) -> c_int {
    c_int::try_from(expires).unwrap_or(c_int::MAX)
}

/// A `str` for the host, which reads and copies it; its pointer is mutable only because C has it so.
pub(super) fn bytes(bytes: &[u8]) -> sys::str_ {
    sys::str_ { s: bytes.as_ptr().cast_mut().cast(), len: c_int::try_from(bytes.len()).unwrap_or(0) }
}

fn string(text: &str) -> sys::str_ {
    bytes(text.as_bytes())
}

/// NULL is "none" to the host.
fn optional(text: Option<&str>) -> sys::str_ {
    text.map_or(sys::str_ { s: ptr::null_mut(), len: 0 }, string)
}

/// Bytes with a NUL behind them: pua compares as many bytes as its own strings have, and would read past shorter ones.
struct Terminated(Vec<u8>);

impl Terminated {
    fn new(bytes: &[u8]) -> Self {
        let mut terminated = Vec::with_capacity(bytes.len().saturating_add(1));
        terminated.extend_from_slice(bytes);
        terminated.push(0);
        Self(terminated)
    }

    fn string(&self) -> sys::str_ {
        bytes(self.0.split_last().map_or(&[], |(_, bytes)| bytes))
    }
}
