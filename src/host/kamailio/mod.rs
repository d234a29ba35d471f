//! Kamailio, 5.6 to 6.0: binds its modules, holds what mod_init made.
//!
//! ```text
//! exports    tables: functions (also KEMI), parameters           written once, kept by the core
//! callbacks  every extern "C" entry point, under the guard
//! msg        sip_msg -> sip::Request, copied
//! calls      sip::Message, Publish, Subscribe -> tm, pua
//! reply      what a script can reply: AVPs, reply headers
//! presence   Kamailio's presence server: who may see an XMPP user, and their states, in process
//! dialog_calls  calls of module dialog, and what happens to them
//! dialog_event  the event package "dialog" in Kamailio's presence server
//! published  PUBLISHes to it that say that a phone is there
//! contact_lamps  XMPP users as lamps in that event
//! db         the table of mapped users: the host's database API
//! process    the extra process: fork, signals, Host
//! senders    the extra processes that call tm, pua and presence
//! store      one more, where something is to survive a restart
//! rpc        what commands answer
//! log        the log crate on LOG
//! sys        bindgen; wrapper.h, shim.c and build.rs make it
//! ```

mod callbacks;
mod calls;
mod contact_lamps;
mod db;
mod dialog_calls;
mod dialog_event;
mod exports;
mod log;
mod msg;
mod phones;
mod presence;
mod process;
mod published;
mod reply;
mod rpc;
mod senders;
mod store;
mod sys;

use std::ffi::CStr;
use std::ffi::c_int;
use std::fmt;
use std::io;
use std::mem;
use std::sync::OnceLock;

use crate::config;
use crate::config::Config;
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
use crate::link::Receiver;
use crate::worker::Worker;

/// Everything that lives from mod_init on, in each process its own copy [H4].
struct Gateway {
    config: Config,
    worker: Worker,
    receiver: Receiver,
    binds: Binds,
    /// The last NOTIFY comes when pua has forgotten the dialog.
    pending: Pending,
    /// Where a database is configured.
    address_table: Option<AddressTable<db::Driver>>,
    /// Where something is to survive a restart, with the line between the XMPP process and the store process.
    state: Option<(StateTable<db::Driver>, Line)>,
    /// To our processes that send.
    lanes: Lanes,
    /// What tells them of jobs.
    senders: senders::Queue,
    /// Of the MESSAGEs under way.
    origins: Origins,
    /// Where phones are shown in their users' accounts.
    phones: Option<Phones<db::Driver>>,
}

/// The functions of other modules that we call.
#[derive(Debug, Clone, Copy)]
struct Binds {
    t_request_within: Function<sys::reqwith_t>,
    #[cfg(feature = "bench")]
    t_request: Function<sys::req_t>,
    send_publish: Function<sys::send_publish_t>,
    send_subscribe: Function<sys::send_subscribe_t>,
    is_dialog: Function<sys::query_dialog_t>,
    register_puacb: Function<sys::register_puacb_t>,
    compares_contacts: Option<calls::Setting>,
    /// Where module sl is loaded.
    replies: Option<reply::Replies>,
}

/// The type of a C function pointer that was checked not to be NULL.
type Function<T> = <T as Checked>::Function;

trait Checked {
    type Function;
}

impl<F> Checked for Option<F> {
    type Function = F;
}

static GATEWAY: OnceLock<Gateway> = OnceLock::new();

/// Why the module refuses to start.
#[derive(Debug)]
enum StartError {
    /// A parameter cannot be used.
    Parameter(config::Error),
    /// A module we need is not loaded, and what it does for us.
    Missing(&'static str, &'static str),
    /// The kernel gave no link.
    Link(io::Error),
    /// The table of mapped users.
    Database(DatabaseError),
    /// The table of what survives a restart.
    State(StateError),
    /// Phones cannot be shown.
    Phones(PhonesError),
    /// Calls cannot be shown; why.
    Calls(&'static str),
    /// The core gave no room for our process or settings.
    Core(&'static str),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Parameter(error) => error.fmt(f),
            Self::Missing(module, purpose) => write!(f, "module {module} is not loaded: {purpose}; load it before xmpp_gateway"),
            Self::Link(error) => write!(f, "no link between the SIP workers and the XMPP process: {error}"),
            Self::Database(error) => error.fmt(f),
            Self::State(error) => error.fmt(f),
            Self::Phones(error) => error.fmt(f),
            Self::Calls(error) => f.write_str(error),
            Self::Core(what) => write!(f, "Kamailio refused {what}"),
        }
    }
}

/// mod_init: parameters become the configuration, the link is made, other modules are bound.
fn start() -> Result<(), StartError> {
    let mut config = Config::from_parameters(&parameters::taken()).map_err(StartError::Parameter)?;
    let (binds, tm) = bind()?;
    dialog_calls::bind(&mut config.calls, &tm).map_err(StartError::Calls)?;
    // Before anybody copies the addresses out of the configuration.
    let address_table = AddressTable::open(&mut config).map_err(StartError::Database)?;
    let (sender, receiver) = link::pair().map_err(StartError::Link)?;
    let state = StateTable::open(&config, receiver.shared()).map_err(StartError::State)?;
    let state = state.map(|table| Ok((table, Line::new()?))).transpose().map_err(StartError::Link)?;
    let worker = Worker::new(&config, sender);
    let pending = pending().ok_or(StartError::Core("shared memory; give it more (option -m)"))?;
    let lanes = Lanes::new().map_err(StartError::Link)?;
    let senders = senders::Queue::new().map_err(StartError::Link)?;
    host::dialog_event::prepare(config.dialog_event.as_ref()).map_err(StartError::Link)?;
    let origins = Origins::new(calls::SHARED_MEMORY).map_err(StartError::Link)?;
    let phones = Phones::open(&config).map_err(StartError::Phones)?;
    if phones.is_some() {
        phones::hear_registrations();
    }
    let processes = [true, state.is_some(), phones.is_some()].map(c_int::from).iter().sum::<c_int>();
    process::announce(senders::SENDERS.saturating_add(processes)).map_err(StartError::Core)?;
    // It fails only when mod_init runs twice, and the core does not do that.
    let module = Gateway { config, worker, receiver, binds, pending, lanes, senders, origins, address_table, state, phones };
    let _ = GATEWAY.set(module);
    Ok(())
}

fn bind() -> Result<(Binds, sys::tm_binds), StartError> {
    let tm = StartError::Missing("tm", "it sends the gateway's requests");
    let pua = StartError::Missing("pua", "it keeps the gateway's subscriptions and publications");

    // SAFETY: tm registers `load_tm` under that name with that type (modules/tm/tm_load.h); both are one function pointer or NULL.
    let load_tm: sys::load_tm_f = unsafe { mem::transmute(export(c"load_tm", -1)) };
    let Some(load_tm) = load_tm else { return Err(tm) };
    // SAFETY: pua registers `bind_pua` under that name with that type (modules/pua/pua_bind.h).
    let bind_pua: sys::bind_pua_t = unsafe { mem::transmute(export(c"bind_pua", 1)) };
    let Some(bind_pua) = bind_pua else { return Err(pua) };

    // SAFETY: both structures hold function pointers and plain pointers only, for which all zeros is a value.
    let mut tm_binds: sys::tm_binds = unsafe { mem::zeroed() };
    // SAFETY: as above.
    let mut pua_binds: sys::pua_api = unsafe { mem::zeroed() };
    // SAFETY: [H1][H2] the structure is of the layout that the headers give and lives through the call.
    let tm_loaded = unsafe { load_tm(&raw mut tm_binds) } >= 0;
    // SAFETY: [H1][H2] as for tm.
    let pua_bound = unsafe { bind_pua(&raw mut pua_binds) } >= 0;

    let sys::pua_api { send_publish, send_subscribe, is_dialog, register_puacb, .. } = pua_binds;
    let functions = send_publish.zip(send_subscribe).zip(is_dialog.zip(register_puacb)).filter(|_| pua_bound);
    let ((send_publish, send_subscribe), (is_dialog, register_puacb)) = functions.ok_or(pua)?;
    let (t_request_within, _t_request) = tm_binds.t_request_within.zip(tm_binds.t_request).filter(|_| tm_loaded).ok_or(tm)?;
    let compares_contacts = calls::Setting::find(c"pua", c"check_remote_contact");
    let binds = Binds {
        t_request_within,
        #[cfg(feature = "bench")]
        t_request: _t_request,
        send_publish,
        send_subscribe,
        is_dialog,
        register_puacb,
        compares_contacts,
        replies: reply::Replies::bind(),
    };
    Ok((binds, tm_binds))
}

/// A function that another module exports to modules, by name and number of parameters.
fn export(name: &CStr, parameters: i32) -> sys::cmd_function {
    // SAFETY: [H1][H2] the name is NUL-terminated and only read.
    unsafe { sys::find_export(name.as_ptr().cast_mut(), parameters, 0) }
}

/// The table of subscriptions in motion, in mod_init. `None`: the host has no shared memory left.
fn pending() -> Option<Pending> {
    // SAFETY: [H1] any size is allowed.
    let block = unsafe { sys::xmpp_gateway_shm_malloc(Pending::SIZE) };
    // SAFETY: [H5] NULL, or a fresh block of that size, which nobody gives back.
    unsafe { Pending::over(block) }
}
