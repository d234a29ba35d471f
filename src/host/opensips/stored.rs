//! What this host's presence server stores: a PUBLISH without the request.

use std::mem::zeroed;
use std::ptr;
use std::ptr::NonNull;

use super::calls;
use super::dialog_event;
use super::presence::seconds;
use super::sys;
use crate::calls::publisher::Publication;
use crate::calls::publisher::Step;
use crate::calls::publisher::TERMINATED_EXPIRES;
use crate::host;
use crate::host::publications;
use crate::host::publications::KeepsTags;
use crate::process::host::HostError;
use crate::sip::Publish;

/// Stores a state that was not there.
pub(super) fn store_new_state(
    api: &sys::presence_api_t,
    event: NonNull<sys::pres_ev>,
    publish: &Publish,
    body: &[u8],
) -> Result<(), HostError> {
    store(api, event, publish, Some(body), EntityTag::New).map(|_| ())
}

/// Stores a change, or none but the time; where there is nothing to change, the whole state.
pub(super) fn replace_state(
    api: &sys::presence_api_t,
    event: NonNull<sys::pres_ev>,
    publish: &Publish,
    change: Option<&[u8]>,
    body: &[u8],
) -> Result<(), HostError> {
    match store(api, event, publish, change, EntityTag::Known)? {
        Found::Yes => Ok(()),
        Found::No => store_new_state(api, event, publish, body),
    }
}

/// Takes a state away.
pub(super) fn take_state_away(
    api: &sys::presence_api_t,
    event: NonNull<sys::pres_ev>,
    publish: &Publish,
) -> Result<(), HostError> {
    store(api, event, publish, None, EntityTag::Known).map(|_| ())
}

/// Stores, changes or takes away a document, and has the watchers told.
fn store(
    api: &sys::presence_api_t,
    event: NonNull<sys::pres_ev>,
    publish: &Publish,
    body: Option<&[u8]>,
    entity_tag: EntityTag,
) -> Result<Found, HostError> {
    let update = api.update_presentity.ok_or(HostError::Missing("presence"))?;
    let (user, host) = publications::user_and_host(publish);
    let tag = publications::entity_tag(publish);
    // SAFETY: [H3] plain C: integers, strings and pointers, for which zero is "none".
    let mut presentity: sys::presentity_t = unsafe { zeroed() };
    presentity.user = calls::bytes(user.as_bytes());
    presentity.domain = calls::bytes(host.as_bytes());
    presentity.event = event.as_ptr();
    presentity.expires = publish.expires.into();
    presentity.received_time = now();
    if let Some(body) = body {
        presentity.body = calls::bytes(body);
    }
    match entity_tag {
        EntityTag::New => {
            presentity.new_etag = calls::bytes(tag.as_bytes());
            presentity.etag_new = 1;
        }
        EntityTag::Known => presentity.old_etag = calls::bytes(tag.as_bytes()),
    }
    // SAFETY: [H4] the event lives as long as the server; only an address is taken.
    let etag_not_new = unsafe { &raw mut (*event.as_ptr()).etag_not_new };
    // SAFETY: [H4] as above.
    let _keeps = unsafe { KeepsTags::begin(etag_not_new) };
    // SAFETY: [H1][H5] all texts live through the call, and what is kept of them is copied.
    calls::accepted(unsafe { update(&raw mut presentity) })?;
    // An entity tag that it does not know is no error to it; where it found it, it says which one is to be used from now on.
    let found = publish.expires == 0 || !presentity.new_etag.s.is_null();
    Ok(if found { Found::Yes } else { Found::No })
}

/// The event "dialog" of this host's presence server: where calls are shown.
pub(super) struct DialogEvent {
    api: sys::presence_api_t,
    event: NonNull<sys::pres_ev>,
}

// SAFETY: [H1][H4] made in mod_init, inherited by fork; the event lives in shared memory as long as the server.
unsafe impl Send for DialogEvent {}
// SAFETY: [H1][H4] as above.
unsafe impl Sync for DialogEvent {}

impl DialogEvent {
    /// `None` where nobody has registered it.
    pub(super) fn bind() -> Option<Self> {
        // SAFETY: [H3] plain C: optional functions, for which zero is "none".
        let mut api: sys::presence_api_t = unsafe { zeroed() };
        // SAFETY: [H1][H5] in mod_init, into a table of ours.
        if unsafe { sys::host_load_presence(&raw mut api) } < 0 {
            return None;
        }
        let mut name = calls::bytes(b"dialog");
        // SAFETY: [H1][H5] the name lives through the call; the second result is not wanted.
        let event = NonNull::new(unsafe { (api.contains_event?)(&raw mut name, ptr::null_mut()) })?;
        Some(Self { api, event })
    }

    /// Stores or changes the dialog of a call, and has the watchers told.
    pub(super) fn publish(&self, publication: &Publication) -> Result<(), HostError> {
        let presentity = &publication.publish.presentity;
        host::dialog_event::publishing(presentity, || self.store(publication), dialog_event::tell_watchers)
    }

    fn store(&self, Publication { publish, step, .. }: &Publication) -> Result<(), HostError> {
        let body = publish.body.as_deref();
        // What has run out it keeps for three or four `clean_period`s more, and tells all watchers of it in each. What is taken away with a document
        // is told by that document, and gone.
        if *step == Step::Modify && publish.expires <= TERMINATED_EXPIRES {
            let end = Publish { expires: 0, ..publish.clone() };
            return store(&self.api, self.event, &end, body, EntityTag::Known).map(|_| ());
        }
        let change = match step {
            Step::Initial => return store(&self.api, self.event, publish, body, EntityTag::New).map(|_| ()),
            Step::Adopt | Step::Modify => body,
            Step::Refresh => None,
        };
        match store(&self.api, self.event, publish, change, EntityTag::Known)? {
            Found::Yes => Ok(()),
            Found::No => store(&self.api, self.event, publish, body, EntityTag::New).map(|_| ()),
        }
    }
}

/// Whether a publication is stored under its entity tag already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum EntityTag {
    New,
    Known,
}

/// Whether the presence server had the publication that it was to change or take away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    Yes,
    /// It did nothing.
    No,
}

fn now() -> sys::time_t {
    sys::time_t::try_from(seconds()).unwrap_or_default()
}
