//! The XMPP process as OpenSIPS runs it: forked with its own IPC pipe, with the script and with the modules initialised for it.

use std::os::fd::BorrowedFd;
use std::os::fd::RawFd;
use std::time::Duration;
use std::time::Instant;

use super::Module;
#[cfg(feature = "bench")]
use super::calls;
use super::sys;
use crate::calls::Event;
use crate::calls::publisher::Publication;
use crate::config::PresenceMode;
use crate::host;
use crate::host::descriptor;
use crate::host::dialog_calls;
use crate::host::lanes::feed::Feed;
use crate::host::lanes::task::Task;
use crate::host::publications::Operation;
use crate::process::host::Flow;
use crate::process::host::Host;
use crate::process::host::HostError;
use crate::process::host::Readiness;
use crate::process::host::Taken;
use crate::sip::Message;
use crate::sip::Notify;
use crate::sip::Publish;
use crate::sip::Subscribe;
use crate::sip::Uri;
use crate::sip::Withdrawal;
use crate::translate::call::UserCall;

/// Until the host stops. Its last job ends the process; returning would end it too, and without that job the whole server.
pub(super) fn run(module: &Module) {
    host::settle_process();
    let mut host = OpenSips { module, feed: Feed::new(&module.lanes), looked: Instant::now(), place: 0 };
    crate::process::run(&mut host, &module.config, &module.receiver, module.state.as_ref().map(|(_, line)| &line.gateway));
    take_last_job();
}

/// Returning from a process without the last job of the host would end the whole server.
pub(super) fn take_last_job() {
    if is_terminating() {
        while has_job(FAREWELL) {
            handle_job();
        }
    }
}

/// How long the host may take to ask us to exit, once it has told us that it terminates.
const FAREWELL: Duration = Duration::from_millis(200);

struct OpenSips<'a> {
    module: &'a Module,
    feed: Feed<'a>,
    /// When it was looked last for states that have run out, and where it goes on.
    looked: Instant,
    place: usize,
}

/// Time between two looks for states that have run out: mostly there are none, as what is published is refreshed.
const LOOK: Duration = Duration::from_secs(1);

/// Places of one look: a minute for all.
const PLACES: usize = 2048;

impl Host for OpenSips<'_> {
    fn message(&mut self, message: &Message) -> Result<(), HostError> {
        self.feed.push(Task::Message(message), self.module)
    }

    fn readiness(&self) -> Readiness {
        self.feed.readiness()
    }

    fn publish(&mut self, publish: &Publish) -> Result<(), HostError> {
        match self.module.config.presence_mode {
            PresenceMode::Pua => self.feed.push(Task::Publish(publish), self.module),
            PresenceMode::Local => self.feed.push_state(publish, self.module),
            PresenceMode::None => Ok(()),
        }
    }

    /// pua has those wait that come before an answer, and does not tell of one that it forgets for an error.
    fn publishes_one_by_one(&self) -> bool {
        false
    }

    fn withdraw(&mut self, withdrawal: &Withdrawal) -> Result<(), HostError> {
        self.feed.push(Task::Withdraw(withdrawal), self.module)
    }

    fn lamp(&mut self, publish: &Publish) -> Result<(), HostError> {
        match self.module.contact_lamps {
            Some(_) => self.feed.push_lamp(publish, self.module),
            None => Ok(()),
        }
    }

    fn publish_call(&mut self, publication: &Publication) -> Result<Taken, HostError> {
        // pua has those wait that come before an answer.
        self.feed.push(Task::Call(publication), self.module).map(|()| Taken::Done)
    }

    fn takes_calls(&self) -> bool {
        self.feed.takes_calls()
    }

    fn call_changed(&mut self, user: &str, call: Option<&UserCall>) -> bool {
        self.module.phones.as_ref().is_none_or(|phones| phones.call(user, call))
    }

    fn call_kept(&mut self, user: &str) {
        if let Some(phones) = &self.module.phones {
            phones.call_kept(user);
        }
    }

    fn restored_calls(&mut self) -> Vec<Event> {
        dialog_calls::restored_calls()
    }

    fn subscribe(&mut self, subscribe: &Subscribe) -> Result<(), HostError> {
        self.feed.push(Task::Subscribe(subscribe), self.module)
    }

    fn notify(&mut self, notify: &Notify) -> Result<(), HostError> {
        self.feed.push(Task::Notify(notify), self.module)
    }

    fn watchers_changed(&mut self, presentity: &Uri) -> Result<(), HostError> {
        self.feed.push(Task::Judge(presentity), self.module)
    }

    #[cfg(feature = "bench")]
    fn bare_request(&mut self, message: &Message) -> Result<(), HostError> {
        calls::bare_request(self.module, message)
    }

    fn wake_descriptor(&self) -> BorrowedFd<'_> {
        job_descriptor()
    }

    fn wake(&mut self) -> Flow {
        handle_jobs()
    }

    /// OpenSIPS itself needs nothing: its settings and its clock are in shared memory.
    fn tick(&mut self) {
        if self.looked.elapsed() >= LOOK {
            self.looked = Instant::now();
            self.end_what_has_run_out();
        }
        self.feed.tick(self.module);
    }

    fn restored(&mut self, publish: &Publish) {
        if let Some(presence) = &self.module.presence {
            presence.restore_state(publish);
        }
    }
}

impl OpenSips<'_> {
    /// States of which nobody has heard for as long as they last: after a panic, those that no XMPP server has told of again.
    fn end_what_has_run_out(&mut self) {
        let Some(presence) = &self.module.presence else { return };
        let (states, place) = presence.run_out(self.place, PLACES);
        self.place = place;
        for state in states {
            let Some(presentity) = Uri::new(state.presentity) else { continue };
            let publish = Publish { presentity, id: state.id, body: None, expires: 0 };
            if self.feed.push(Task::State(&publish, Operation::Expire), self.module).is_err() {
                // It is found again with the next round of looks.
                return;
            }
        }
    }
}

/// What becomes readable when the host has a job for this process.
pub(super) fn job_descriptor() -> BorrowedFd<'static> {
    // SAFETY: [H4] the host opened the pipe before the fork and closes it with the process.
    unsafe { BorrowedFd::borrow_raw(wake_descriptor()) }
}

/// Jobs one by one, and none when the host terminates: that job would end the process before it has done what is left.
pub(super) fn handle_jobs() -> Flow {
    while has_job(Duration::ZERO) {
        if is_terminating() {
            return Flow::Stop;
        }
        handle_job();
    }
    Flow::Continue
}

fn wake_descriptor() -> RawFd {
    // SAFETY: [H1] reads this process's entry of the host's process table.
    unsafe { sys::host_wake_descriptor() }
}

fn has_job(patience: Duration) -> bool {
    descriptor::is_ready(wake_descriptor(), libc::POLLIN, patience)
}

fn handle_job() {
    // SAFETY: [H1] on the main thread of a process of the host, with the read end of its own pipe.
    unsafe { sys::ipc_handle_job(wake_descriptor()) };
}

fn is_terminating() -> bool {
    // SAFETY: [H1] reads the host's state.
    let status = unsafe { sys::sr_get_core_status() };
    status == sys::STATE_TERMINATING
}
