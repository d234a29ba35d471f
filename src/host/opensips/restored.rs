//! Subscriptions that the presence server read back from its database after a restart.
//!
//! It reads them before the event "presence" has its owner, so it asks nobody who may see whom: all are active. And before that it has
//! emptied the table of watchers, in which it looks for whom a decision concerns: a refusal would reach none of them. Both are made good
//! here, for the watchers of XMPP users and their lamps: who waited waits again, and before the first decision on a presentity its watchers go
//! into the table.
//!
//! The presence server exports nothing for this, so its own functions and its table of subscriptions are looked up by their names.

use std::collections::HashMap;
use std::ffi::CStr;
use std::ffi::c_int;
use std::ffi::c_void;
use std::mem::transmute;
use std::mem::zeroed;
use std::ptr;
use std::ptr::NonNull;
use std::slice;
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

use super::calls;
use super::msg;
use super::presence::WAITS;
use super::presence::who;
use super::sys;
use crate::gateway::action::Authorization;
use crate::process::host::HostError;
use crate::worker::Judgement;
use crate::worker::Worker;

/// Which event a subscription is to.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Presence,
    /// `contact_lamp`
    Lamp,
}

impl Kind {
    /// Made in mod_init.
    fn restored(self) -> &'static OnceLock<Restored> {
        static PRESENCE: OnceLock<Restored> = OnceLock::new();
        static LAMPS: OnceLock<Restored> = OnceLock::new();
        match self {
            Self::Presence => &PRESENCE,
            Self::Lamp => &LAMPS,
        }
    }

    fn judge(self, worker: &Worker, watcher: &[u8], presentity: &[u8]) -> Judgement {
        match self {
            Self::Presence => worker.judge(watcher, presentity),
            Self::Lamp => worker.judge_lamp(watcher, presentity),
        }
    }
}

/// Those of XMPP users, by presentity.
struct Restored {
    watchers: HashMap<Vec<u8>, Watchers>,
    find: Find,
    insert: Insert,
}

struct Watchers {
    /// Whether this process has seen to it that they are in the table.
    are_in_table: AtomicBool,
    of: Vec<Watcher>,
}

struct Watcher {
    user: Vec<u8>,
    domain: Vec<u8>,
    waits: bool,
}

/// `get_db_subs_auth()`: whether a watcher is in the table.
type Find = unsafe extern "C" fn(*mut sys::subs_t, *mut c_int) -> c_int;

/// `insert_db_subs_auth()`: enters it.
type Insert = unsafe extern "C" fn(*mut sys::subs_t) -> c_int;

/// Takes note of what the presence server has read, in mod_init, and has those wait who waited. `of_presence` is any function of that module.
pub(super) fn take(of_presence: *const c_void, kind: Kind, event: NonNull<sys::pres_ev>, worker: &Worker) {
    match read(of_presence, kind, event, worker) {
        Some(restored) if restored.watchers.is_empty() => {}
        Some(restored) => drop(kind.restored().set(restored)),
        None => log::warn!(
            "module presence is another one than is known: who waited before a restart may count as active until it subscribes again"
        ),
    }
}

/// Before the watchers of a presentity are judged anew: sees to it that the presence server finds those from before the restart. After an
/// error it is to be called again: that database may be free then.
pub(super) fn enter(presentity: &str, kind: Kind, event: NonNull<sys::pres_ev>) -> Result<(), HostError> {
    let Some(restored) = kind.restored().get() else { return Ok(()) };
    let Some(watchers) = restored.watchers.get(presentity.as_bytes()) else { return Ok(()) };
    if watchers.are_in_table.load(Ordering::Relaxed) {
        return Ok(());
    }
    // One that cannot be entered keeps out no other.
    let entered = watchers.of.iter().map(|watcher| restored.enter(presentity, watcher, event));
    entered.fold(Ok(()), Result::and)?;
    watchers.are_in_table.store(true, Ordering::Relaxed);
    Ok(())
}

impl Restored {
    fn enter(&self, presentity: &str, watcher: &Watcher, event: NonNull<sys::pres_ev>) -> Result<(), HostError> {
        let subscription = || {
            // SAFETY: [H3] plain C: integers, strings and pointers, for which zero is "none".
            let mut subscription: sys::subs_t = unsafe { zeroed() };
            subscription.pres_uri = calls::bytes(presentity.as_bytes());
            subscription.from_user = calls::bytes(&watcher.user);
            subscription.from_domain = calls::bytes(&watcher.domain);
            subscription.event = event.as_ptr();
            subscription
        };
        let (mut asked, mut found) = (subscription(), 0);
        // SAFETY: [H1][H5] all texts live through the call; in a process with a connection to the database.
        let done = unsafe { (self.find)(&raw mut asked, &raw mut found) };
        if !asked.reason.s.is_null() {
            // SAFETY: [H5] the host made it for its caller, by this allocator.
            unsafe { sys::host_pkg_free(asked.reason.s.cast()) };
        }
        calls::accepted(done)?;
        if found != 0 {
            return Ok(());
        }
        let mut entered = subscription();
        let (status, reason) = if watcher.waits { (sys::PENDING_STATUS, WAITS) } else { (sys::ACTIVE_STATUS, c"") };
        entered.status = status.unsigned_abs();
        entered.reason = calls::bytes(reason.to_bytes());
        // SAFETY: [H1][H5] as above.
        calls::accepted(unsafe { (self.insert)(&raw mut entered) })
            .inspect_err(|_| log::error!("a watcher of {presentity} from before the restart cannot be told of decisions now"))
    }
}

fn read(of_presence: *const c_void, kind: Kind, event: NonNull<sys::pres_ev>, worker: &Worker) -> Option<Restored> {
    let library = Library::of(of_presence)?;
    let (find, insert) = (library.symbol(c"get_db_subs_auth")?, library.symbol(c"insert_db_subs_auth")?);
    // SAFETY: [H4] a function of the presence server, of this type in all versions; the module is never unloaded.
    let find = unsafe { transmute::<*mut c_void, Find>(find.as_ptr()) };
    // SAFETY: [H4] as above.
    let insert = unsafe { transmute::<*mut c_void, Insert>(insert.as_ptr()) };
    let (table, size) =
        (library.symbol(c"subs_htable")?.cast::<*mut sys::subs_entry>(), library.symbol(c"shtable_size")?.cast::<c_int>());
    // SAFETY: [H4] a variable of the presence server, whose mod_init is done.
    let table = NonNull::new(unsafe { table.read() })?;
    // SAFETY: [H4] as above.
    let size = usize::try_from(unsafe { size.read() }).ok()?;
    let mut restored = Restored { watchers: HashMap::new(), find, insert };
    // SAFETY: [H4] the table has so many entries.
    for entry in unsafe { slice::from_raw_parts(table.as_ptr(), size) } {
        // The first of each list is none.
        // SAFETY: [H1][H4] a list in shared memory; before the fork nobody else has it.
        let mut next = unsafe { entry.entries.as_ref() }.map_or(ptr::null_mut(), |first| first.next);
        // SAFETY: [H1][H4] as above.
        while let Some(subscription) = unsafe { next.as_mut() } {
            if subscription.event == event.as_ptr() {
                restored.take(subscription, kind, worker);
            }
            next = subscription.next;
        }
    }
    Some(restored)
}

impl Restored {
    fn take(&mut self, subscription: &mut sys::subs_t, kind: Kind, worker: &Worker) {
        // SAFETY: [H2] a subscription of the presence server.
        let Some((watcher, presentity)) = (unsafe { who(subscription) }) else { return };
        // SAFETY: [H2][H3] a string of the subscription.
        let waited = unsafe { msg::bytes(&raw const subscription.reason) } == WAITS.to_bytes();
        let waits = match kind.judge(worker, &watcher, &presentity) {
            Judgement::NotOurs if !waited => return,
            Judgement::Decided(Authorization::Pending | Authorization::Hidden) => true,
            Judgement::Decided(Authorization::Allowed) => false,
            Judgement::Decided(Authorization::Refused | Authorization::NoResource)
            | Judgement::Undecided
            | Judgement::NotOurs => waited,
        };
        subscription.status = if waits { sys::PENDING_STATUS } else { sys::ACTIVE_STATUS }.unsigned_abs();
        if !waits {
            // With a reason it would be told no states.
            subscription.reason.len = 0;
        }
        // SAFETY: [H2][H3] a string of the subscription.
        let user = unsafe { msg::bytes(&raw const subscription.from_user) };
        // SAFETY: [H2][H3] as above.
        let domain = unsafe { msg::bytes(&raw const subscription.from_domain) };
        let watchers = self.watchers.entry(presentity);
        let watchers = watchers.or_insert_with(|| Watchers { are_in_table: AtomicBool::new(false), of: Vec::new() });
        // One watcher may have several phones, and one row.
        if !watchers.of.iter().any(|known| known.user == user && known.domain == domain) {
            watchers.of.push(Watcher { user, domain, waits });
        }
    }
}

/// A loaded module of the host.
pub(super) struct Library(NonNull<c_void>);

impl Library {
    /// The one with this function.
    pub(super) fn of(function: *const c_void) -> Option<Self> {
        // SAFETY: [H3] plain C: pointers, for which zero is "none".
        let mut found: libc::Dl_info = unsafe { zeroed() };
        // SAFETY: [H1] writes where it stands into a structure of ours.
        if unsafe { libc::dladdr(function, &raw mut found) } == 0 || found.dli_fname.is_null() {
            return None;
        }
        // SAFETY: [H2] the name belongs to the loader, and so does what it names, which is loaded already.
        NonNull::new(unsafe { libc::dlopen(found.dli_fname, libc::RTLD_NOLOAD | libc::RTLD_NOW) }).map(Self)
    }

    pub(super) fn symbol(&self, name: &CStr) -> Option<NonNull<c_void>> {
        // SAFETY: [H2] a library that is loaded, and a NUL-terminated name.
        NonNull::new(unsafe { libc::dlsym(self.0.as_ptr(), name.as_ptr()) })
    }
}
