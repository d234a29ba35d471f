//! OpenSIPS 3.4, 3.6 and 4.0: binds its modules, holds what mod_init made. One source; layouts from the headers of the very tree.
//!
//! ```text
//! exports     tables: functions, parameters, the process        constants, kept by the core
//! callbacks   every extern "C" entry point, under the guard
//! msg         sip_msg -> sip::Request, copied
//! calls       sip::Message, Publish, Subscribe, Notify -> tm, pua
//! reply       what a script can reply: AVPs, reply headers; the 200 to a SUBSCRIBE
//! presence    the host's presence server: who may see an XMPP user, and their states, in process
//! shown       states of theirs that it does not keep
//! stored      documents that it does
//! dialog_calls  calls of module dialog, and what happens to them
//! dialog_event  the event package "dialog" in the host's presence server
//! published   PUBLISHes to it that say that a phone is there
//! contact_lamps  XMPP users as lamps in that event
//! db          the table of mapped users: the host's database API
//! mi          what commands answer
//! process     the extra process: IPC, Host
//! store       one more, where something is to survive a restart
//! log         the log crate on LM_*
//! sys         bindgen; wrapper.h, shim.c and build.rs make it
//! ```

mod callbacks;
mod calls;
mod contact_lamps;
mod db;
mod dialog_calls;
mod dialog_event;
mod exports;
mod log;
mod mi;
mod msg;
mod phones;
mod presence;
mod process;
mod published;
mod reply;
mod restored;
mod shown;
mod store;
mod stored;
mod sys;

use std::ffi::c_ulong;
use std::fmt;
use std::io;
use std::sync::OnceLock;

use crate::config;
use crate::config::Config;
use crate::config::DialogMode;
use crate::config::PresenceMode;
use crate::host;
use crate::host::database::AddressTable;
use crate::host::database::DatabaseError;
use crate::host::database::state_table::Line;
use crate::host::database::state_table::StateError;
use crate::host::database::state_table::StateTable;
use crate::host::lanes::Lanes;
use crate::host::origin::Origins;
use crate::host::parameters;
use crate::host::pending::Pending;
use crate::host::phones::Phones;
use crate::host::phones::PhonesError;
use crate::link;
use crate::worker::Worker;
use contact_lamps::ContactLamps;
use dialog_calls::DialogCalls;
use presence::Presence;
use reply::Variables;
use shown::Lasts;
use stored::DialogEvent;

/// What mod_init leaves to every process.
struct Module {
    config: Config,
    worker: Worker,
    /// Read in the XMPP process only.
    receiver: link::Receiver,
    tm: sys::tm_binds,
    pua: sys::pua_api_t,
    /// Where it is loaded.
    signaling: Option<sys::sig_binds>,
    /// Its NOTIFYs may come before pua has read the 2xx.
    pending: Pending,
    /// To the workers, who send MESSAGEs.
    lanes: Lanes,
    /// Of the MESSAGEs under way.
    origins: Origins,
    /// What a script can reply.
    variables: Variables,
    /// Where this server serves presence itself.
    presence: Option<Presence>,
    /// Where XMPP users are shown as lamps.
    contact_lamps: Option<ContactLamps>,
    /// Where calls are shown.
    dialog_calls: Option<DialogCalls>,
    /// Where they are shown by this server's own presence server.
    dialog_event: Option<DialogEvent>,
    /// Where a database is configured.
    address_table: Option<AddressTable<db::Driver>>,
    /// Where something is to survive a restart, with the line between the XMPP process and the store process.
    state: Option<(StateTable<db::Driver>, Line)>,
    /// Where phones are shown in their users' accounts.
    phones: Option<Phones<db::Driver>>,
}

/// Set once, in mod_init; every process inherits it through fork.
static MODULE: OnceLock<Module> = OnceLock::new();

/// Why the module does not start.
#[derive(Debug)]
enum StartError {
    /// The operator's parameters.
    Config(config::Error),
    /// The kernel refused the socket pair or the shared page.
    Link(io::Error),
    /// This module of the host gave no functions.
    Bind(&'static str),
    /// The table of mapped users.
    Database(DatabaseError),
    /// The table of what survives a restart.
    State(StateError),
    /// Phones cannot be shown.
    Phones(PhonesError),
    /// `presence_mode` is local, and there is no presence server for it.
    NoLocalPresence,
    /// Calls cannot be shown; why.
    Calls(&'static str),
    /// The host has no shared memory left.
    Memory,
    /// pua refused our callback.
    Callback,
    /// The event package "dialog" cannot be served.
    DialogEvent(&'static str),
    /// The host called mod_init twice.
    Twice,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => error.fmt(f),
            Self::Link(error) => write!(f, "the link to the XMPP process could not be made: {error}"),
            Self::Bind(module) => write!(f, "the functions of module {module} could not be had; it must be loaded too"),
            Self::Database(error) => error.fmt(f),
            Self::State(error) => error.fmt(f),
            Self::Phones(error) => error.fmt(f),
            Self::NoLocalPresence => f.write_str(host::NO_LOCAL_PRESENCE),
            Self::Calls(error) => f.write_str(error),
            Self::DialogEvent(sentence) => f.write_str(sentence),
            Self::Memory => f.write_str("no shared memory is left; give the server more (option -m)"),
            Self::Callback => f.write_str("module pua refused a callback for replies to SUBSCRIBE or PUBLISH"),
            Self::Twice => f.write_str("the module was started twice"),
        }
    }
}

/// mod_init: everything that the processes share, before the host forks.
fn start() -> Result<(), StartError> {
    let given = parameters::taken();
    config::none_of_kamailio(&given).map_err(StartError::Config)?;
    let mut config = Config::from_parameters(&given).map_err(StartError::Config)?;
    // Before anybody copies the addresses out of the configuration.
    let address_table = AddressTable::open(&mut config).map_err(StartError::Database)?;
    let (sender, receiver) = link::pair().map_err(StartError::Link)?;
    let state = StateTable::open(&config, receiver.shared()).map_err(StartError::State)?;
    let state = state.map(|table| Ok((table, Line::new()?))).transpose().map_err(StartError::Link)?;
    if state.is_some() {
        exports::add_store_process();
    }
    let phones = Phones::open(&config).map_err(StartError::Phones)?;
    if phones.is_some() {
        exports::add_phone_process();
        phones::hear_registrations();
    }
    let worker = Worker::new(&config, sender);
    let tm = calls::bind_tm().ok_or(StartError::Bind("tm"))?;
    let pua = calls::bind_pua().ok_or(StartError::Bind("pua"))?;
    let signaling = reply::bind_signaling();
    calls::hear_subscribe_replies(&pua).ok_or(StartError::Callback)?;
    calls::hear_publish_replies(&pua).ok_or(StartError::Callback)?;
    let pending = pending().ok_or(StartError::Memory)?;
    let lanes = Lanes::new().map_err(StartError::Link)?;
    let origins = Origins::new(calls::SHARED_MEMORY).map_err(StartError::Link)?;
    let variables = Variables::new().ok_or(StartError::Memory)?;
    let lasts = if state.is_some() { Lasts::Lasting } else { Lasts::UntilRestart };
    let presence = presence(config.presence_mode, lasts)?;
    if phones.is_some() {
        // In front of what local mode has put there.
        published::hear().map_err(StartError::DialogEvent)?;
    }
    host::dialog_event::prepare(config.dialog_event.as_ref()).map_err(StartError::Link)?;
    let contact_lamps = dialog_event::register(&config).map_err(StartError::DialogEvent)?;
    #[cfg(feature = "bench")]
    dialog_event::bench();
    let dialog_calls = DialogCalls::bind(&mut config.calls).map_err(StartError::Calls)?;
    let dialog_event = match config.calls.mode {
        DialogMode::Off | DialogMode::Phones => None,
        DialogMode::Pua => calls::announce_dialogs(&pua).map(|()| None).ok_or(StartError::Bind("pua"))?,
        DialogMode::Local => Some(DialogEvent::bind().ok_or(StartError::Calls(host::NO_DIALOG_EVENT))?),
    };
    let module = Module {
        config,
        worker,
        receiver,
        tm,
        pua,
        signaling,
        pending,
        lanes,
        origins,
        variables,
        presence,
        contact_lamps,
        dialog_calls,
        dialog_event,
        address_table,
        state,
        phones,
    };
    if let Some(presence) = &module.presence {
        presence.restore(&module.worker);
    }
    if let Some(lamps) = &module.contact_lamps {
        lamps.restore(&module.worker);
    }
    MODULE.set(module).map_err(|_| StartError::Twice)?;
    match MODULE.get().and_then(|module| module.dialog_calls.as_ref()) {
        Some(calls) => calls.load().ok_or(StartError::Bind("dialog")),
        None => Ok(()),
    }
}

/// The presence server of this host, where there is to be one.
fn presence(mode: PresenceMode, lasts: Lasts) -> Result<Option<Presence>, StartError> {
    if mode == PresenceMode::None {
        return Ok(None);
    }
    match Presence::bind(mode, lasts) {
        Ok(presence) => Ok(Some(presence)),
        Err(_) if mode == PresenceMode::Local => Err(StartError::NoLocalPresence),
        Err(warning) => {
            ::log::warn!("{warning}");
            Ok(None)
        }
    }
}

/// The table of subscriptions in motion, in mod_init. `None`: the host has no shared memory left.
fn pending() -> Option<Pending> {
    // SAFETY: [H1] the host's allocator, in mod_init.
    let block = unsafe { sys::host_shm_malloc(c_ulong::try_from(Pending::SIZE).ok()?) };
    // SAFETY: [H5] NULL, or a fresh block of that size, which nobody gives back.
    unsafe { Pending::over(block) }
}
