//! The processes that do what waits in the lanes. Kamailio's SIP workers take no jobs, so these are our own.
//!
//! A pipe tells them of jobs, a byte each. It never fills: each lane has one job at a time.
//!
//! They share the processors with the SIP workers, who have to read the replies. Where these fall behind, tm would send again what was
//! answered long ago, and make it worse: so the senders wait for them, a little.

use std::ffi::c_int;
use std::io;
use std::os::fd::AsRawFd;
use std::os::fd::FromRawFd;
use std::os::fd::OwnedFd;
use std::os::fd::RawFd;
use std::thread;
use std::time::Duration;

use super::Gateway;
use super::sys;
use crate::host::descriptor;
use crate::host::guard;

/// How many there are.
pub(super) const SENDERS: c_int = 2;

/// Bytes at a socket from which on the SIP workers are behind: some fifty replies.
const BEHIND: u32 = 64 << 10;

/// What the SIP workers get then, for each request that is sent.
const PAUSE: Duration = Duration::from_millis(1);

/// What the XMPP process, and a sender that does not finish, tell the senders of jobs with.
pub(super) struct Queue {
    read: OwnedFd,
    write: OwnedFd,
}

impl Queue {
    /// In mod_init.
    pub(super) fn new() -> io::Result<Self> {
        let mut ends: [RawFd; 2] = [-1; 2];
        // SAFETY: [H2] writes two descriptors to the array.
        if unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) } < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: descriptors that were just opened, and that nobody else owns.
        let [read, write] = ends.map(|end| unsafe { OwnedFd::from_raw_fd(end) });
        Ok(Self { read, write })
    }

    /// Adds a job.
    pub(super) fn add(&self, lane: usize) -> bool {
        let Ok(lane) = u8::try_from(lane) else { return false };
        // SAFETY: [H2] one byte of a local.
        unsafe { libc::write(self.write.as_raw_fd(), (&raw const lane).cast(), 1) == 1 }
    }

    /// Waits for a job. `None`: a signal came.
    fn take(&self) -> Option<usize> {
        let mut lane = 0_u8;
        // SAFETY: [H2] one byte of a local.
        let read = unsafe { libc::read(self.read.as_raw_fd(), (&raw mut lane).cast(), 1) };
        (read == 1).then_some(usize::from(lane))
    }
}

/// In the main process: forks them. They never return from here.
pub(super) fn fork(gateway: &Gateway) -> c_int {
    for _ in 0..SENDERS {
        let name = c"xmpp_gateway sender".as_ptr().cast_mut();
        // As for the XMPP process.
        // SAFETY: [H1] the main process calls this in its child_init, where modules fork; the name is copied.
        match unsafe { sys::fork_process(sys::PROC_RPC, name, 1) } {
            0 => run(gateway),
            failed if failed < 0 => {
                log::error!("Kamailio could not fork a process that sends");
                return -1;
            }
            _ => {}
        }
    }
    0
}

/// Whether SIP messages wait to be read, more than a few.
pub(super) fn sip_is_behind() -> bool {
    // SAFETY: [H1] made by the core before it forked.
    let mut next = unsafe { sys::udp_listen };
    // SAFETY: [H4] a list that ends with NULL, of sockets that last.
    while let Some(socket) = unsafe { next.as_ref() } {
        if descriptor::waiting(socket.socket) > BEHIND {
            return true;
        }
        next = socket.next;
    }
    false
}

fn run(gateway: &Gateway) -> ! {
    // SAFETY: [H1] the call reads a NUL-terminated text of less than 16 bytes: the name in `ps` and under /proc.
    unsafe { libc::prctl(libc::PR_SET_NAME, c"xmpp_sender".as_ptr()) };
    // SAFETY: [H1] announced in mod_init, and called once, in a process that it was announced for.
    if unsafe { sys::cfg_child_init() } < 0 {
        log::error!("Kamailio gave a process that sends no copy of its settings");
        // SAFETY: ends this process without the exit handlers of the main process, whose copy it is.
        unsafe { libc::_exit(1) }
    }
    loop {
        let Some(lane) = gateway.senders.take() else { continue };
        // SAFETY: [H1] `run` called cfg_child_init.
        unsafe { sys::xmpp_gateway_cfg_update() };
        // SAFETY: [H1] the pipe gives each job once.
        guard::answer((), || unsafe { gateway.lanes.do_job(lane, gateway) });
        if sip_is_behind() {
            thread::sleep(PAUSE);
        }
    }
}
