//! The XMPP process: one extra process of Kamailio, forked by the main process after it has read its configuration.
//!
//! Kamailio stops a process with SIGTERM and expects it to be gone soon. The handler writes an eventfd, which ends
//! `crate::process::run`, and sets an alarm whose default action ends the process should anything hang.

use std::ffi::c_int;
use std::io;
use std::mem;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd;
use std::os::fd::BorrowedFd;
use std::os::fd::FromRawFd;
use std::os::fd::OwnedFd;
use std::ptr;
use std::sync::atomic::AtomicI32;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use super::Gateway;
use super::callbacks;
#[cfg(feature = "bench")]
use super::calls;
use super::contact_lamps;
use super::dialog_event;
use super::phones;
use super::presence;
use super::published;
use super::senders;
use super::store;
use super::sys;
use crate::calls::Event;
use crate::calls::publisher::Publication;
use crate::config::DialogMode;
use crate::config::PresenceMode;
use crate::host;
use crate::host::dialog_calls;
use crate::host::guard;
use crate::host::lanes::feed::Feed;
use crate::host::lanes::task::Task;
use crate::process;
use crate::process::host::Flow;
use crate::process::host::Host;
use crate::process::host::HostError;
use crate::process::host::Readiness;
use crate::process::host::Taken;
use crate::sip;
use crate::translate::call::UserCall;

/// How long the stream may take to close before the alarm ends the process.
const STOP_SECONDS: u32 = 3;

const RESTART_PAUSE: Duration = Duration::from_secs(1);

/// In mod_init: room for so many processes, and for their copies of the core's settings.
pub(super) fn announce(processes: c_int) -> Result<(), &'static str> {
    // SAFETY: [H1] mod_init is where modules announce processes.
    if unsafe { sys::register_procs(processes) } < 0 {
        return Err("a process of our own");
    }
    // SAFETY: [H1] as above.
    unsafe { sys::cfg_register_child(processes) };
    Ok(())
}

/// After all modules' mod_init, before the first fork: what needs the other modules to be ready.
pub(super) fn register_callbacks(gateway: &Gateway) -> c_int {
    let callback: sys::pua_cb = Some(callbacks::subscribe_completed);
    // The first SUBSCRIBE of a dialog has the one flag, the later ones have the other.
    let flags = sys::XMPP_INITIAL_SUBS | sys::XMPP_SUBSCRIBE;
    // SAFETY: [H1][H4] a function of this module; pua frees a parameter that is not NULL, so there is none.
    let registered = unsafe { (gateway.binds.register_puacb)(flags, callback, ptr::null_mut()) };
    if registered < 0 {
        log::error!("pua refused the callback for replies to SUBSCRIBE");
        return -1;
    }
    // Calls: pua would begin a second publication where one has not been answered. It has callbacks for old flags only.
    // SAFETY: [H1][H4] as above.
    let registered =
        unsafe { (gateway.binds.register_puacb)(sys::XMPP_PUBLISH, Some(callbacks::publish_completed), ptr::null_mut()) };
    if registered < 0 {
        log::error!("pua refused the callback for replies to PUBLISH");
        return -1;
    }
    if let Err(sentence) = dialog_event::register(&gateway.config) {
        log::error!("{sentence}");
        return -1;
    }
    #[cfg(feature = "bench")]
    dialog_event::bench();
    if gateway.config.calls.mode == DialogMode::Local && presence::bind_dialogs().is_none() {
        log::error!("{}", host::NO_DIALOG_EVENT);
        return -1;
    }
    if gateway.phones.is_some()
        && let Err(sentence) = published::hear()
    {
        log::error!("{sentence}");
        return -1;
    }
    let mode = gateway.config.presence_mode;
    if mode == PresenceMode::None {
        return 0;
    }
    match (presence::bind(mode), mode) {
        (Ok(()), _) => 0,
        (Err(warning), PresenceMode::Pua | PresenceMode::None) => {
            log::warn!("{warning}");
            0
        }
        (Err(_), PresenceMode::Local) => {
            log::error!("{}", host::NO_LOCAL_PRESENCE);
            -1
        }
    }
}

/// In the main process: forks the XMPP process and those that send, which never return from here.
pub(super) fn fork(gateway: &Gateway) -> c_int {
    let name = c"xmpp_gateway".as_ptr().cast_mut();
    // PROC_RPC: all modules' child_init run in it, so that pua and presence have their database connections.
    // SAFETY: [H1] the main process calls this in its child_init, where modules fork; the name is copied.
    let pid = unsafe { sys::fork_process(sys::PROC_RPC, name, 1) };
    match pid {
        0 => run(gateway),
        failed if failed < 0 => {
            log::error!("Kamailio could not fork the XMPP process");
            -1
        }
        _ => match senders::fork(gateway) {
            0 => match gateway.state.as_ref().map_or(0, store::fork) {
                0 => gateway.phones.as_ref().map_or(0, |shown| phones::fork(gateway, shown)),
                failed => failed,
            },
            failed => failed,
        },
    }
}

fn run(gateway: &Gateway) -> ! {
    host::settle_process();
    let code = match KamailioHost::new(gateway) {
        Ok(mut host) => {
            let store = gateway.state.as_ref().map(|(_, line)| &line.gateway);
            while guard::answer(Flow::Continue, || {
                process::run(&mut host, &gateway.config, &gateway.receiver, store);
                Flow::Stop
            }) == Flow::Continue
            {
                // The supervisor itself panicked: not at once again.
                thread::sleep(RESTART_PAUSE);
            }
            0
        }
        Err(error) => {
            log::error!("the XMPP process cannot start: {error}");
            1
        }
    };
    // SAFETY: ends this process without the exit handlers of the main process, whose copy it is.
    unsafe { libc::_exit(code) }
}

/// Kamailio, as the XMPP process sees it.
struct KamailioHost<'a> {
    gateway: &'a Gateway,
    stop: Stop,
    feed: Feed<'a>,
}

impl<'a> KamailioHost<'a> {
    fn new(gateway: &'a Gateway) -> io::Result<Self> {
        let stop = Stop::handled()?;
        // SAFETY: [H1] announced in mod_init, and called once, in the process that it was announced for.
        if unsafe { sys::cfg_child_init() } < 0 {
            return Err(io::Error::other("Kamailio gave no copy of its settings"));
        }
        let feed = Feed::new(&gateway.lanes);
        Ok(Self { gateway, stop, feed })
    }
}

impl Host for KamailioHost<'_> {
    fn message(&mut self, message: &sip::Message) -> Result<(), HostError> {
        self.feed.push(Task::Message(message), self.gateway)
    }

    fn readiness(&self) -> Readiness {
        self.feed.readiness()
    }

    fn publish(&mut self, publish: &sip::Publish) -> Result<(), HostError> {
        match self.gateway.config.presence_mode {
            PresenceMode::Pua => self.feed.push(Task::Publish(publish), self.gateway),
            PresenceMode::Local => self.feed.push_state(publish, self.gateway),
            PresenceMode::None => Ok(()),
        }
    }

    /// pua would begin a second publication where one has not been answered.
    fn publishes_one_by_one(&self) -> bool {
        self.gateway.config.presence_mode == PresenceMode::Pua
    }

    fn withdraw(&mut self, withdrawal: &sip::Withdrawal) -> Result<(), HostError> {
        self.feed.push(Task::Withdraw(withdrawal), self.gateway)
    }

    fn lamp(&mut self, publish: &sip::Publish) -> Result<(), HostError> {
        if contact_lamps::are_served() { self.feed.push_lamp(publish, self.gateway) } else { Ok(()) }
    }

    fn publish_call(&mut self, publication: &Publication) -> Result<Taken, HostError> {
        self.feed.push(Task::Call(publication), self.gateway)?;
        Ok(match self.gateway.config.calls.mode {
            DialogMode::Local => Taken::Done,
            // pua would take a change for a new publication until the first one is answered.
            DialogMode::Pua | DialogMode::Off | DialogMode::Phones => Taken::UnderWay,
        })
    }

    fn takes_calls(&self) -> bool {
        self.feed.takes_calls()
    }

    fn call_changed(&mut self, user: &str, call: Option<&UserCall>) -> bool {
        self.gateway.phones.as_ref().is_none_or(|phones| phones.call(user, call))
    }

    fn call_kept(&mut self, user: &str) {
        if let Some(phones) = &self.gateway.phones {
            phones.call_kept(user);
        }
    }

    fn restored_calls(&mut self) -> Vec<Event> {
        dialog_calls::restored_calls()
    }

    fn subscribe(&mut self, subscribe: &sip::Subscribe) -> Result<(), HostError> {
        self.feed.push(Task::Subscribe(subscribe), self.gateway)
    }

    fn notify(&mut self, notify: &sip::Notify) -> Result<(), HostError> {
        self.feed.push(Task::Notify(notify), self.gateway)
    }

    fn watchers_changed(&mut self, presentity: &sip::Uri) -> Result<(), HostError> {
        self.feed.push(Task::Judge(presentity), self.gateway)
    }

    #[cfg(feature = "bench")]
    fn bare_request(&mut self, message: &sip::Message) -> Result<(), HostError> {
        calls::bare_request(self.gateway, message)
    }

    fn wake_descriptor(&self) -> BorrowedFd<'_> {
        self.stop.0.as_fd()
    }

    fn wake(&mut self) -> Flow {
        self.stop.asked_for()
    }

    fn tick(&mut self) {
        self.feed.tick(self.gateway);
        // SAFETY: [H1] `new` called cfg_child_init.
        unsafe { sys::xmpp_gateway_cfg_update() };
    }
}

/// The wish of Kamailio that a process of ours ends.
pub(super) struct Stop(OwnedFd);

impl Stop {
    /// In the process, at its beginning.
    pub(super) fn handled() -> io::Result<Self> {
        // SAFETY: no memory of ours is involved.
        let descriptor = unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) };
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: a descriptor that was just opened, and that nobody else owns.
        let stop = unsafe { OwnedFd::from_raw_fd(descriptor) };
        STOP.store(descriptor, Ordering::Release);
        handle(libc::SIGTERM)?;
        handle(libc::SIGINT)?;
        Ok(Self(stop))
    }

    pub(super) fn asked_for(&self) -> Flow {
        let mut count = 0_u64;
        let room = (&raw mut count).cast();
        // SAFETY: [H2] the descriptor is open, and the eight bytes it writes are those of `count`. It stays readable for nobody: a
        // stop is asked for once.
        let read = unsafe { libc::read(self.0.as_raw_fd(), room, mem::size_of::<u64>()) };
        if read > 0 { Flow::Stop } else { Flow::Continue }
    }
}

impl AsFd for Stop {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The eventfd that the signal handler writes.
static STOP: AtomicI32 = AtomicI32::new(-1);

fn handle(signal: c_int) -> io::Result<()> {
    // SAFETY: the structure holds numbers and pointers, for which all zeros is a value.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    action.sa_sigaction = on_stop as *const () as libc::sighandler_t;
    action.sa_flags = libc::SA_RESTART;
    // SAFETY: [H2] the structure lives through the call, and the handler calls async-signal-safe functions only.
    if unsafe { libc::sigaction(signal, &raw const action, ptr::null_mut()) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Only async-signal-safe functions: `write`, `alarm`. No guard: nothing in it can panic.
extern "C" fn on_stop(_signal: c_int) {
    let one = 1_u64;
    // SAFETY: eight bytes of a local, written to an eventfd; a failure leaves the alarm.
    unsafe { libc::write(STOP.load(Ordering::Acquire), (&raw const one).cast(), mem::size_of::<u64>()) };
    // SAFETY: no memory is involved. SIGALRM has its default action: Kamailio sets no handler for it.
    unsafe { libc::alarm(STOP_SECONDS) };
}
