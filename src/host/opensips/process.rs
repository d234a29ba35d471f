//! The XMPP process as OpenSIPS runs it: forked with its own IPC pipe, with the script and with the modules initialised for it.

use std::os::fd::BorrowedFd;
use std::os::fd::RawFd;
use std::time::Duration;

use super::Module;
use super::calls;
use super::sys;
use crate::calls::Event;
use crate::calls::publisher::Publication;
use crate::config::PresenceMode;
use crate::host;
use crate::host::descriptor;
use crate::host::dialog_calls;
use crate::host::lanes::feed::Feed;
use crate::host::publications::Publications;
use crate::process::host::Flow;
use crate::process::host::Host;
use crate::process::host::HostError;
use crate::process::host::Taken;
use crate::sip::Message;
use crate::sip::Notify;
use crate::sip::Publish;
use crate::sip::Subscribe;

/// Until the host stops. Its last job ends the process; returning would end it too, and without that job the whole server.
pub(super) fn run(module: &Module) {
    host::settle_process();
    let mut host = OpenSips { module, feed: Feed::new(&module.lanes), publications: Publications::new() };
    crate::process::run(&mut host, &module.config, &module.receiver, None);
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
    /// In the presence server of this host.
    publications: Publications,
}

impl Host for OpenSips<'_> {
    fn message(&mut self, message: &Message) -> Result<(), HostError> {
        self.feed.push(message, self.module)
    }

    fn is_ready(&self) -> bool {
        self.feed.has_room()
    }

    fn publish(&mut self, publish: &Publish) -> Result<(), HostError> {
        match (self.module.config.presence_mode, &self.module.presence) {
            (PresenceMode::Pua, _) => calls::publish(self.module, publish),
            (PresenceMode::Local, Some(presence)) => presence.publish(publish, &mut self.publications),
            (PresenceMode::None, _) => Ok(()),
            (PresenceMode::Local, None) => Err(HostError::Missing("presence")),
        }
    }

    fn publish_call(&mut self, publication: &Publication) -> Result<Taken, HostError> {
        // pua has those wait that come before an answer.
        match &self.module.dialog_event {
            Some(event) => event.publish(publication),
            None => calls::publish_call(self.module, &publication.publish),
        }
        .map(|()| Taken::Done)
    }

    fn restored_calls(&mut self) -> Vec<Event> {
        dialog_calls::restored_calls()
    }

    fn subscribe(&mut self, subscribe: &Subscribe) -> Result<(), HostError> {
        calls::subscribe(self.module, subscribe)
    }

    fn notify(&mut self, notify: &Notify) -> Result<(), HostError> {
        calls::notify(self.module, notify)
    }

    fn watchers_changed(&mut self, presentity: &str) -> Result<(), HostError> {
        match &self.module.presence {
            Some(presence) => presence.watchers_changed(presentity),
            None => Err(HostError::Missing("presence_xml")),
        }
    }

    #[cfg(feature = "bench")]
    fn bare_request(&mut self, message: &Message) -> Result<(), HostError> {
        calls::bare_request(self.module, message)
    }

    fn wake_descriptor(&self) -> BorrowedFd<'_> {
        // SAFETY: [H4] the host opened the pipe before the fork and closes it with the process.
        unsafe { BorrowedFd::borrow_raw(wake_descriptor()) }
    }

    /// Jobs one by one, and none when the host terminates: that job would end the process before the stream is closed.
    fn wake(&mut self) -> Flow {
        while has_job(Duration::ZERO) {
            if is_terminating() {
                return Flow::Stop;
            }
            handle_job();
        }
        Flow::Continue
    }

    /// OpenSIPS itself needs nothing: its settings and its clock are in shared memory.
    fn tick(&mut self) {
        self.feed.tick(self.module);
    }
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
