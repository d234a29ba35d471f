//! States of XMPP users that the presence server of this host does not keep: it is given them whenever it makes a NOTIFY.
//!
//! ```text
//! XMPP process --lane--> any worker: the state into link::states, then "tell all watchers"
//!                                                                         |
//! SUBSCRIBE, PUBLISH, refresh_watchers --> presence server makes a body --+--> body(): the documents it has, and ours
//! ```
//!
//! Kept by itself, each change would be two statements of SQL, and every NOTIFY one more. What has no place in our memory is kept by it
//! nevertheless, and a body is made of both. So are all states where other servers are given them (`cluster_id`), and where all of
//! its subscriptions survive a restart (`fallback2db`) and our memory does not (`store`).

use std::ffi::CStr;
use std::ffi::c_int;
use std::io;
use std::ptr::NonNull;
use std::sync::Mutex;
use std::sync::PoisonError;

use super::calls;
use super::msg;
use super::sys;
use crate::link::states::State;
use crate::link::states::States;
use crate::sip::Publish;

/// All of them.
pub(super) struct Shown {
    states: States,
}

/// Why this process has the watchers told just now.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Telling {
    /// Of a state, or by no wish of ours.
    State,
    /// Of the end of this one: presentity and id.
    End(String, String),
    /// What the presence server had of a resource is ours now.
    Taken,
}

static TELLING: Mutex<Telling> = Mutex::new(Telling::State);

/// What the presence server wants made to one body.
pub(super) struct Asked {
    pub(super) user: *mut sys::str_,
    pub(super) host: *mut sys::str_,
    pub(super) bodies: *mut *mut sys::str_,
    pub(super) count: c_int,
    /// Which of them has just ended; below zero: none.
    pub(super) ended: c_int,
}

/// Whether what we keep survives a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lasts {
    /// The store has a copy.
    Lasting,
    UntilRestart,
}

/// Whether the presence server has a document of this presentity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Has {
    Documents,
    None,
}

impl Shown {
    /// `None`: the presence server keeps all of them itself.
    pub(super) fn new(lasts: Lasts) -> io::Result<Option<Self>> {
        if is_set(c"cluster_id") || (is_set(c"fallback2db") && lasts == Lasts::UntilRestart) {
            return Ok(None);
        }
        States::new().map(|states| Some(Self { states }))
    }

    /// The state is kept here from now on. False: it has no place here, and there is none of this resource.
    pub(super) fn put(&self, publish: &Publish, body: &[u8], now: u64) -> bool {
        self.states.put(&publish.presentity, &publish.id, body, now.saturating_add(publish.expires.into()))
    }

    /// The same state for longer. False: it is not here, or has run out.
    pub(super) fn refresh(&self, publish: &Publish, now: u64) -> bool {
        self.states.refresh(&publish.presentity, &publish.id, now, now.saturating_add(publish.expires.into()))
    }

    /// Takes it away.
    pub(super) fn remove(&self, publish: &Publish) {
        self.states.remove(&publish.presentity, &publish.id);
    }

    /// Whether it is here.
    pub(super) fn has(&self, publish: &Publish) -> bool {
        self.states.get(&publish.presentity, &publish.id).is_some()
    }

    /// Whether it is here and has run out.
    pub(super) fn has_run_out(&self, publish: &Publish, now: u64) -> bool {
        self.states.get(&publish.presentity, &publish.id).is_some_and(|state| state.expires <= now)
    }

    /// Those of so many places that have run out; then the next place to look at.
    pub(super) fn run_out(&self, from: usize, count: usize, now: u64) -> (Vec<State>, usize) {
        self.states.run_out(from, count, now)
    }

    /// Bodies that are made while `tell` runs say that the resource is not there any more.
    pub(super) fn ending<T>(publish: &Publish, tell: impl FnOnce() -> T) -> T {
        telling(Telling::End(publish.presentity.to_string(), publish.id.clone()), tell)
    }

    /// What ends while `take` runs is still there: here.
    pub(super) fn taking<T>(take: impl FnOnce() -> T) -> T {
        telling(Telling::Taken, take)
    }

    /// The body of a NOTIFY where anything of this presentity is here. `aggregate` makes one of several.
    ///
    /// # Safety
    /// What the presence server passes, all alive.
    pub(super) unsafe fn body(
        &self,
        (presentity, now): (&str, u64),
        asked: &Asked,
        has: impl FnOnce() -> Has,
        aggregate: sys::agg_nbody_t,
    ) -> Option<*mut sys::str_> {
        let why = TELLING.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let ending = match &why {
            Telling::End(whose, id) if whose == presentity => Some(id.as_str()),
            Telling::End(..) | Telling::State | Telling::Taken => None,
        };
        // It may end because it has run out.
        let ours = self.states.of(presentity, now, ending);
        let mut texts: Vec<sys::str_> = ours.iter().map(|state| calls::bytes(&state.body)).collect();
        if texts.is_empty() {
            return None;
        }
        let given = usize::try_from(asked.count).unwrap_or(0);
        let given = (0..given).filter(|_| !asked.bodies.is_null()).map(|index| {
            // SAFETY: [H2] so many there are, as the caller promises.
            unsafe { asked.bodies.wrapping_add(index).read() }
        });
        let mut all: Vec<*mut sys::str_> = given.collect();
        let mut ended = usize::try_from(asked.ended).ok();
        if why == Telling::Taken
            && let Some(index) = ended.take().filter(|index| *index < all.len())
        {
            all.remove(index);
        }
        if let [only] = *all.as_slice()
            && ended.is_none()
            // SAFETY: [H2] as the caller promises.
            && unsafe { says_closed(only) }
            && has() == Has::None
        {
            // What it says where it has nothing (`notify_offline_body`).
            all.clear();
        }
        if let Some(id) = ending {
            ended = ours.iter().position(|state| state.id == id).map(|index| index.saturating_add(all.len())).or(ended);
        }
        all.extend(texts.iter_mut().map(|text| -> *mut sys::str_ { text }));
        if let ([_], None, [text]) = (all.as_slice(), ended, texts.as_slice()) {
            // To parse it and write it again would cost as much as all the rest.
            // SAFETY: [H1][H2] the text is copied.
            return Some(unsafe { sys::host_body_copy(text.s, text.len) });
        }
        let count = c_int::try_from(all.len()).ok()?;
        let ended = ended.and_then(|index| c_int::try_from(index).ok()).unwrap_or(-1);
        // SAFETY: [H1][H2] all documents live through the call.
        Some(unsafe { (aggregate?)(asked.user, asked.host, all.as_mut_ptr(), count, ended) })
    }
}

fn telling<T>(what: Telling, tell: impl FnOnce() -> T) -> T {
    let _no_longer = NoLonger;
    *TELLING.lock().unwrap_or_else(PoisonError::into_inner) = what;
    tell()
}

/// Ends what is told, however that ends.
struct NoLonger;

impl Drop for NoLonger {
    fn drop(&mut self) {
        *TELLING.lock().unwrap_or_else(PoisonError::into_inner) = Telling::State;
    }
}

/// Whether this is a document in which somebody is not there.
///
/// # Safety
/// NULL, or a document of the presence server.
unsafe fn says_closed(body: *const sys::str_) -> bool {
    // SAFETY: [H2][H3] as the caller promises.
    let text = unsafe { msg::bytes(body) };
    memchr::memmem::find(&text, b">closed<").is_some()
}

/// Whether a number of module presence is not zero.
fn is_set(parameter: &CStr) -> bool {
    // SAFETY: [H1] both names are NUL-terminated and only read.
    let place = unsafe { sys::find_param_export(c"presence".as_ptr(), parameter.as_ptr(), sys::INT_PARAM.unsigned_abs()) };
    let place = NonNull::new(place.cast::<c_int>());
    // SAFETY: [H2] the parameter's `int`, which lives as long as the process.
    place.is_some_and(|place| unsafe { place.read() } != 0)
}
