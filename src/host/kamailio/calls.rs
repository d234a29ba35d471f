//! What the gateway wants sent: MESSAGE and NOTIFY through tm, PUBLISH and SUBSCRIBE through pua.

use std::ffi::CStr;
use std::ffi::c_int;
use std::ffi::c_void;
use std::mem;
use std::ptr;

use super::Gateway;
use super::callbacks;
use super::contact_lamps;
use super::msg::Received;
use super::msg::host_text;
use super::presence;
use super::senders;
use super::sys;
use crate::calls::publisher::Publication;
use crate::config::DialogMode;
use crate::host::lanes::Jobs;
use crate::host::lanes::task;
use crate::host::lanes::task::Requests;
use crate::host::lanes::task::Task;
use crate::host::origin::HostMemory;
use crate::host::origin::Kept;
use crate::host::publications::Operation;
use crate::process::host::HostError;
use crate::sip::Event;
use crate::sip::Message;
use crate::sip::Notify;
use crate::sip::Publish;
use crate::sip::Subscribe;
use crate::sip::Uri;
use crate::sip::Withdrawal;

/// pua's answer to taking away a publication that it does not know (any more): nothing is left to do.
const NO_SUCH_PUBLICATION: c_int = -10;

const METHOD: &[u8] = b"MESSAGE";

/// Our own processes do it: Kamailio's workers take no jobs.
impl Jobs for Gateway {
    fn perform(&self, task: Task<'_>) {
        task::perform(task, self, &self.worker, &self.lanes);
    }

    fn make(&self, lane: usize) -> bool {
        self.senders.add(lane)
    }

    fn is_awaited(&self) -> bool {
        senders::sip_is_behind()
    }
}

impl Requests for Gateway {
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
        presence::publish(publish, operation)
    }

    fn lamp(&self, publish: &Publish, operation: Operation) -> Result<(), HostError> {
        contact_lamps::publish(publish, operation)
    }

    fn call(&self, publication: &Publication) -> Result<(), HostError> {
        match self.config.calls.mode {
            DialogMode::Local => presence::publish_call(publication),
            DialogMode::Pua | DialogMode::Off | DialogMode::Phones => publish_call(self, &publication.publish),
        }
    }

    fn judge(&self, presentity: &Uri) -> Result<(), HostError> {
        let lamps = contact_lamps::watchers_changed(presentity);
        presence::watchers_changed(presentity).and(lamps)
    }
}

/// Sends a MESSAGE. Its origin travels in shared memory and comes back in [`callbacks::message_completed`].
///
/// tm's function for requests outside dialogs makes a dialog for each, of five blocks of shared memory, for as long as it runs. The
/// one for requests within dialogs takes a dialog of our own, and with it a Call-ID of our choice: it costs half as much.
pub(super) fn message(gateway: &Gateway, message: &Message) -> Result<(), HostError> {
    let unique = format!("{:016x}", message.unique);
    let mut method = host_text(METHOD);
    // tm adds a Max-Forwards of its own where it finds none.
    let headers = format!("Max-Forwards: {}\r\n{}", message.max_forwards, &*message.headers);
    let mut headers = host_text(headers.as_bytes());
    let mut body = host_text(&message.body);

    // SAFETY: the structure holds pointers, texts and numbers, for which all zeros is a value.
    let mut dialog: sys::dlg_t = unsafe { mem::zeroed() };
    dialog.state = sys::DLG_CONFIRMED;
    dialog.id.call_id = host_text(message.call_id.as_deref().unwrap_or(&unique).as_bytes());
    dialog.id.loc_tag = host_text(unique.as_bytes());
    dialog.loc_seq.is_set = 1;
    dialog.loc_uri = host_text(message.from.as_bytes());
    dialog.rem_uri = host_text(message.to.as_bytes());
    if let Some(next_hop) = &gateway.config.outbound_proxy {
        dialog.dst_uri = host_text(next_hop.as_bytes());
    }
    let origin = gateway.origins.leave(message.origin.as_ref()).ok_or(HostError::Memory)?;

    // SAFETY: the structure holds pointers, numbers and an optional function, for which all zeros is a value.
    let mut request: sys::uac_req = unsafe { mem::zeroed() };
    request.method = &raw mut method;
    request.headers = &raw mut headers;
    request.body = if message.body.is_empty() { ptr::null_mut() } else { &raw mut body };
    request.dialog = &raw mut dialog;
    request.cb_flags = (sys::TMCB_LOCAL_COMPLETED | sys::TMCB_DESTROY) as _;
    request.cb = Some(callbacks::message_completed);
    request.cbp = origin;

    // SAFETY: [H1][H2] tm copies all texts into the request it builds, keeps nothing of the dialog, and hands the callback's parameter
    // back in the callback.
    let sent = unsafe { (gateway.binds.t_request_within)(&raw mut request) };
    if sent > 0 {
        return Ok(());
    }
    // tm did not register the callback: a local route of the script dropped the request (0), or it failed.
    // SAFETY: [H5] so it is still ours.
    drop(unsafe { gateway.origins.take_back(origin) });
    Err(HostError::Refused(sent))
}

/// Sends a NOTIFY in the dialog of its watcher. tm carries its number to the callback, in place of a pointer.
fn notify(gateway: &Gateway, notify: &Notify) -> Result<(), HostError> {
    let mut method = host_text(b"NOTIFY");
    let mut headers = host_text(notify.headers.as_bytes());
    let mut body = host_text(&notify.body);
    let ours = &notify.dialog;
    let texts: Vec<String> = ours.routes().map(|uri| ["<", uri, ">"].concat()).collect();
    let mut routes = route_set(&texts);

    // SAFETY: the structure holds pointers, texts and numbers, for which all zeros is a value.
    let mut dialog: sys::dlg_t = unsafe { mem::zeroed() };
    dialog.state = sys::DLG_CONFIRMED;
    dialog.id.call_id = host_text(ours.call_id().as_bytes());
    dialog.id.loc_tag = host_text(ours.local_tag().as_bytes());
    dialog.id.rem_tag = host_text(ours.remote_tag().as_bytes());
    // tm counts before it sends.
    dialog.loc_seq.value = notify.cseq.saturating_sub(1);
    dialog.loc_seq.is_set = 1;
    dialog.loc_uri = host_text(ours.local_uri().as_bytes());
    dialog.rem_uri = host_text(ours.remote_uri().as_bytes());
    dialog.rem_target = host_text(ours.remote_target().as_bytes());
    dialog.route_set = routes.first_mut().map_or(ptr::null_mut(), ptr::from_mut);
    if !ours.socket().is_empty() {
        let mut socket = host_text(ours.socket().as_bytes());
        // SAFETY: [H1][H2] the text is only read; what it gives is NULL, or a socket of the core, which lasts.
        dialog.send_sock = unsafe { sys::lookup_local_socket(&raw mut socket) };
    }

    // SAFETY: the structure holds pointers, numbers and an optional function, for which all zeros is a value.
    let mut request: sys::uac_req = unsafe { mem::zeroed() };
    request.method = &raw mut method;
    request.headers = &raw mut headers;
    request.body = if notify.body.is_empty() { ptr::null_mut() } else { &raw mut body };
    request.dialog = &raw mut dialog;
    request.cb_flags = sys::TMCB_LOCAL_COMPLETED as _;
    request.cb = Some(callbacks::notify_completed);
    request.cbp = ptr::without_provenance_mut(usize::try_from(notify.number).unwrap_or(0));

    // SAFETY: [H1][H2] tm copies all texts into the request it builds, keeps nothing of dialog and routes, and hands the number back in
    // the callback.
    let sent = unsafe { (gateway.binds.t_request_within)(&raw mut request) };
    if sent > 0 { Ok(()) } else { Err(HostError::Refused(sent)) }
}

/// The routes as tm's list: each text is a URI in its brackets.
fn route_set(texts: &[String]) -> Vec<sys::rr_t> {
    let route = |text: &String| {
        // SAFETY: the structure holds pointers, texts and numbers, for which all zeros is a value.
        let mut route: sys::rr_t = unsafe { mem::zeroed() };
        route.len = c_int::try_from(text.len()).unwrap_or(0);
        // tm writes what stands here, `len` bytes of it.
        route.nameaddr.name = host_text(text.as_bytes());
        route.nameaddr.len = route.len;
        route.nameaddr.uri = host_text(text.trim_start_matches('<').trim_end_matches('>').as_bytes());
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

/// The least that tm can be asked for.
#[cfg(feature = "bench")]
pub(super) fn bare_request(gateway: &Gateway, message: &Message) -> Result<(), HostError> {
    let mut method = host_text(METHOD);
    let mut headers = host_text(message.headers.as_bytes());
    let mut body = host_text(&message.body);
    let mut to = host_text(message.to.as_bytes());
    let mut from = host_text(message.from.as_bytes());
    let mut next_hop = gateway.config.outbound_proxy.as_ref().map(|uri| host_text(uri.as_bytes()));
    // SAFETY: the structure holds pointers, numbers and an optional function, for which all zeros is a value.
    let mut request: sys::uac_req = unsafe { mem::zeroed() };
    request.method = &raw mut method;
    request.headers = &raw mut headers;
    request.body = &raw mut body;
    let ruri = &raw mut to;
    // SAFETY: [H1][H2] tm copies all texts.
    let sent = unsafe { (gateway.binds.t_request)(&raw mut request, ruri, ruri, &raw mut from, optional(&mut next_hop)) };
    if sent > 0 { Ok(()) } else { Err(HostError::Refused(sent)) }
}

/// Publishes, refreshes or takes away the state of one resource.
fn publish(gateway: &Gateway, publish: &Publish) -> Result<(), HostError> {
    send_publish(gateway, publish, (sys::PRESENCE_EVENT, sys::XMPP_PUBLISH))
}

/// Publishes or changes the dialog of a call: where pua has none to change, it makes one.
fn publish_call(gateway: &Gateway, publish: &Publish) -> Result<(), HostError> {
    send_publish(gateway, publish, (sys::DIALOG_EVENT, sys::XMPP_PUBLISH))
}

fn send_publish(gateway: &Gateway, publish: &Publish, (event, source): (c_int, c_int)) -> Result<(), HostError> {
    let mut presentity = host_text(publish.presentity.as_bytes());
    let mut next_hop = presence_next_hop(gateway);
    // pua hands the body to a parser of C strings.
    let terminated = [publish.body.as_deref().unwrap_or_default(), &[0]].concat();
    let mut body = host_text(terminated.strip_suffix(&[0]).unwrap_or_default());

    // SAFETY: the structure holds pointers and numbers, for which all zeros is a value.
    let mut info: sys::publ_info = unsafe { mem::zeroed() };
    info.id = host_text(publish.id.as_bytes());
    info.pres_uri = &raw mut presentity;
    info.body = if publish.body.is_some() { &raw mut body } else { ptr::null_mut() };
    info.expires = seconds(publish.expires);
    info.source_flag = source;
    info.event = event;
    if event == sys::DIALOG_EVENT {
        info.content_type = host_text(b"application/dialog-info+xml");
    }
    info.outbound_proxy = optional(&mut next_hop);
    // SAFETY: [H1][H2] pua copies what it keeps.
    match unsafe { (gateway.binds.send_publish)(&raw mut info) } {
        NO_SUCH_PUBLICATION if publish.body.is_none() => Ok(()),
        sent if sent < 0 => Err(HostError::Refused(sent)),
        _ => Ok(()),
    }
}

/// Ends a publication that pua may not know. It is sent as a MESSAGE is, and its reply says nothing that we do not know.
fn withdraw(gateway: &Gateway, withdrawal: &Withdrawal) -> Result<(), HostError> {
    let headers = withdrawal.headers();
    let mut method = host_text(b"PUBLISH");
    let mut headers = host_text(headers.as_bytes());

    // SAFETY: the structure holds pointers, texts and numbers, for which all zeros is a value.
    let mut dialog: sys::dlg_t = unsafe { mem::zeroed() };
    dialog.state = sys::DLG_CONFIRMED;
    // Unique as it is: nobody else has a publication by this tag, and it ends but once.
    dialog.id.call_id = host_text(withdrawal.entity_tag.as_bytes());
    dialog.id.loc_tag = host_text(withdrawal.entity_tag.as_bytes());
    dialog.loc_seq.is_set = 1;
    dialog.loc_uri = host_text(withdrawal.presentity.as_bytes());
    dialog.rem_uri = host_text(withdrawal.presentity.as_bytes());
    if let Some(next_hop) = presence_next_hop(gateway) {
        dialog.dst_uri = next_hop;
    }

    // SAFETY: the structure holds pointers, numbers and an optional function, for which all zeros is a value.
    let mut request: sys::uac_req = unsafe { mem::zeroed() };
    request.method = &raw mut method;
    request.headers = &raw mut headers;
    request.dialog = &raw mut dialog;
    // SAFETY: [H1][H2] tm copies all texts into the request it builds, and keeps nothing of the dialog.
    let sent = unsafe { (gateway.binds.t_request_within)(&raw mut request) };
    if sent > 0 { Ok(()) } else { Err(HostError::Refused(sent)) }
}

/// Subscribes, refreshes or unsubscribes.
pub(super) fn subscribe(gateway: &Gateway, subscribe: &Subscribe) -> Result<(), HostError> {
    let mut presentity = host_text(subscribe.presentity.as_bytes());
    let mut watcher = host_text(subscribe.watcher.as_bytes());
    let mut contact = host_text(gateway.config.server_address.as_bytes());
    let mut next_hop = presence_next_hop(gateway);

    // SAFETY: the structure holds pointers and numbers, for which all zeros is a value.
    let mut info: sys::subs_info = unsafe { mem::zeroed() };
    // In its database mode pua finds a subscription by presentity and id alone: the watcher makes it unique.
    info.id = watcher;
    info.pres_uri = &raw mut presentity;
    info.watcher_uri = &raw mut watcher;
    info.contact = &raw mut contact;
    info.outbound_proxy = optional(&mut next_hop);
    info.expires = seconds(subscribe.expires);
    // The flag is how pua finds its callbacks: only replies to subscriptions of XMPP users are reported.
    (info.event, info.source_flag) = match subscribe.event {
        Event::Presence => (sys::PRESENCE_EVENT, sys::XMPP_INITIAL_SUBS),
        Event::PresenceWinfo => (sys::PWINFO_EVENT, sys::XMPP_SUBSCRIBE),
    };
    let off = gateway.binds.compares_contacts.map(|setting| setting.off());
    // SAFETY: [H1][H2] pua copies what it keeps.
    let sent = gateway.pending.sending(subscribe, || unsafe { (gateway.binds.send_subscribe)(&raw mut info) });
    drop(off);
    if sent < 0 { Err(HostError::Refused(sent)) } else { Ok(()) }
}

/// Whether pua holds the subscription that a NOTIFY belongs to. Seen from pua, the NOTIFY's To is the watcher.
pub(super) fn knows_dialog(gateway: &Gateway, notify: &Received<'_>) -> bool {
    let mut presentity = host_text(notify.from.uri);
    let mut watcher = notify.to.uri;
    // SAFETY: the structure holds pointers and numbers, for which all zeros is a value.
    let mut dialog: sys::ua_pres = unsafe { mem::zeroed() };
    dialog.pres_uri = &raw mut presentity;
    dialog.watcher_uri = &raw mut watcher;
    dialog.call_id = notify.call_id();
    dialog.from_tag = notify.to.tag_value;
    dialog.to_tag = host_text(notify.from.tag);
    // pua keeps both kinds under this flag, whatever the flag they were asked with.
    dialog.flag = sys::XMPP_SUBSCRIBE;
    dialog.event = match notify.event_package() {
        b"presence.winfo" => sys::PWINFO_EVENT,
        // One that is neither is the worker's to refuse, with 489 (RFC 6665 §4.1.3), where the dialog is known.
        _ => sys::PRESENCE_EVENT,
    };
    // pua compares by its own lengths: an empty text must not be NULL.
    if dialog.from_tag.len <= 0 || dialog.to_tag.len <= 0 || dialog.call_id.len <= 0 {
        return false;
    }
    // SAFETY: [H1][H2] pua only reads; its texts stand in the message, followed by more of the message.
    unsafe { (gateway.binds.is_dialog)(&raw mut dialog) >= 0 }
}

/// An integer parameter of another module, in this process.
///
/// pua's `check_remote_contact` is 1 by default: then pua finds a subscription again only by the remote Contact, which its callers
/// do not know, so that a refresh would begin a second dialog and an end would end nothing.
#[derive(Debug, Clone, Copy)]
pub(super) struct Setting(ptr::NonNull<c_int>);

// SAFETY: [H1] the variable belongs to the one thread of the process.
unsafe impl Send for Setting {}
// SAFETY: [H1] as above.
unsafe impl Sync for Setting {}

impl Setting {
    pub(super) fn find(module: &CStr, name: &CStr) -> Option<Self> {
        // SAFETY: [H1][H2] the name is NUL-terminated and only read.
        let module = unsafe { sys::find_module_by_name(module.as_ptr().cast_mut()) };
        let mut kind = 0;
        // SAFETY: [H1][H2] the module may be NULL; the name is NUL-terminated and only read.
        let place = unsafe { sys::find_param_export(module, name.as_ptr().cast_mut(), sys::PARAM_INT as _, &raw mut kind) };
        // A parameter that is set by a function has the function's address here.
        if kind != sys::PARAM_INT as u32 { None } else { ptr::NonNull::new(place.cast()).map(Self) }
    }

    pub(super) fn is_on(self) -> bool {
        self.value() != 0
    }

    pub(super) fn value(self) -> c_int {
        // SAFETY: [H1] an `int` of the other module, which lives as long as the process.
        unsafe { self.0.read() }
    }

    fn off(self) -> SettingOff {
        // SAFETY: [H1] an `int` of the other module, which lives as long as the process.
        let value = unsafe { self.0.replace(0) };
        SettingOff { setting: self, value }
    }
}

/// Puts the value back.
struct SettingOff {
    setting: Setting,
    value: c_int,
}

impl Drop for SettingOff {
    fn drop(&mut self) {
        // SAFETY: [H1] as in `off`.
        unsafe { self.setting.0.write(self.value) };
    }
}

/// Presence goes to the presence server, else where everything goes.
fn presence_next_hop(gateway: &Gateway) -> Option<sys::str_> {
    let config = &gateway.config;
    config.presence_server.as_ref().or(config.outbound_proxy.as_ref()).map(|uri| host_text(uri.as_bytes()))
}

/// pua's lifetimes are signed: more than they hold is "no end" (-1), which pua refreshes for ever.
fn seconds(lifetime: u32) -> c_int {
    c_int::try_from(lifetime).unwrap_or(-1)
}

fn optional(text: &mut Option<sys::str_>) -> *mut sys::str_ {
    text.as_mut().map_or(ptr::null_mut(), ptr::from_mut)
}

/// Takes an origin back from tm's callback parameter, where nothing is left.
///
/// # Safety
/// `parameter` is NULL, or points to what [`message`] gave to tm, or to NULL.
pub(super) unsafe fn take_origin(gateway: &Gateway, parameter: *mut *mut c_void) -> Option<Kept<'_>> {
    // SAFETY: [H2] by the contract of this function.
    let block = mem::replace(unsafe { parameter.as_mut() }?, ptr::null_mut());
    // SAFETY: [H5] as it was left for tm.
    unsafe { gateway.origins.take_back(block) }
}

/// The host's shared memory.
pub(super) const SHARED_MEMORY: HostMemory = HostMemory {
    // SAFETY: [H1] the host's allocator, in a process of the host; any size is allowed.
    allocate: |size| unsafe { sys::xmpp_gateway_shm_malloc(size) },
    // SAFETY: [H5] as the field promises.
    free: |block| unsafe { sys::xmpp_gateway_shm_free(block) },
};
