//! One host between its SIP peer and its XMPP server, and the loop that waits for all of them.
#![allow(unsafe_code, reason = "poll(2) has no safe form in std")]

use std::fs;
use std::io;
use std::os::fd::RawFd;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use crate::host;
use crate::host::Host;
use crate::host::Presence;
use crate::host::Settings;
use crate::interrupt;
use crate::load::Event;
use crate::marker::Template;
use crate::memory::Memory;
use crate::sip_peer::SipPeer;
use crate::target::Target;
use crate::xmpp_server::XmppServer;

/// A file system without a disk.
pub(crate) const IN_MEMORY: &str = "/dev/shm";

/// All parts of one measurement. The host is first: it ends before its folder goes.
pub(crate) struct Rig {
    /// The server that is measured.
    pub(crate) host: Host,
    /// What speaks SIP with it.
    pub(crate) sip: SipPeer,
    /// What speaks XMPP with it.
    pub(crate) xmpp: XmppServer,
    target: Target,
    peer_port: u16,
    folder: Folder,
}

impl Rig {
    /// Starts the host; with a module, waits for its login too.
    pub(crate) fn start(target: &Target) -> io::Result<Self> {
        Self::with(target, None, None)
    }

    /// A host that starts with these rows (SQL) in the store, and how long it took until the component was there.
    pub(crate) fn restarted(&self, rows: &str) -> io::Result<(Self, Duration)> {
        let rig = Self::with(&self.target, None, Some(rows))?;
        let time = rig.host.uptime();
        Ok((rig, time))
    }

    /// The same on a host that serves presence, with its database in memory.
    pub(crate) fn serving_presence(&self, presence: Presence) -> io::Result<Self> {
        Self::with(&self.target, Some(presence), None)
    }

    fn with(target: &Target, presence: Option<Presence>, store: Option<&str>) -> io::Result<Self> {
        let kind = &target.kind;
        let module = target.module.as_deref();
        let folder = Folder::new(kind.name(), if presence.is_some() { IN_MEMORY.into() } else { std::env::temp_dir() })?;
        let address = host::free_address()?;
        let peer_port = host::free_address()?.port();
        let mut sip = SipPeer::open(peer_port, address)?;
        let mut xmpp = XmppServer::open()?;
        let settings = Settings {
            kind,
            module,
            address,
            peer_port,
            xmpp_port: xmpp.port()?,
            folder: &folder.path,
            allocator: target.allocator.as_deref(),
            presence,
            dialogs: None,
            store,
            phones: None,
        };
        let mut host = Host::start(&settings)?;
        let ping = Template::new(crate::directions::bare_message(peer_port));
        let mut events = Vec::new();
        host.wait(|| {
            interrupt::check()?;
            sip.send(&ping, 0);
            sip.flush()?;
            wait_ready(&[(sip.descriptor(), libc::POLLIN)], Duration::from_millis(50))?;
            sip.receive(&mut events)?;
            Ok(!events.is_empty())
        })?;
        if module.is_some() {
            xmpp.log_in().map_err(|error| io::Error::other(format!("{error}\n{}", host.log_end())))?;
        }
        Ok(Self { host, sip, xmpp, target: target.clone(), peer_port, folder })
    }

    /// The host that is measured.
    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    /// Port of the SIP peer.
    pub(crate) fn peer_port(&self) -> u16 {
        self.peer_port
    }

    /// Sends what is queued, waits for something to read, and tells what came.
    pub(crate) fn pump(&mut self, patience: Duration, events: &mut Vec<Event>) -> io::Result<()> {
        self.pump_after(Duration::ZERO, patience, events)
    }

    /// The same, with a sleep before it looks: lets arrivals gather.
    pub(crate) fn pump_after(&mut self, pause: Duration, patience: Duration, events: &mut Vec<Event>) -> io::Result<()> {
        events.clear();
        interrupt::check()?;
        self.sip.flush()?;
        self.xmpp.flush()?;
        if !pause.is_zero() {
            thread::sleep(pause);
        }
        let sip = (self.sip.descriptor(), libc::POLLIN);
        let stream_events = if self.xmpp.has_more() { libc::POLLIN | libc::POLLOUT } else { libc::POLLIN };
        match self.xmpp.descriptor() {
            Some(stream) => wait_ready(&[sip, (stream, stream_events)], patience)?,
            None => wait_ready(&[sip], patience)?,
        }
        self.sip.receive(events)?;
        self.xmpp.receive(events)?;
        // Answers that are queued only now would wait for the next turn.
        self.sip.flush()
    }

    /// Answers the host for this long and sends nothing of its own.
    pub(crate) fn rest(&mut self, time: Duration) -> io::Result<()> {
        let end = Instant::now() + time;
        let mut events = Vec::new();
        while Instant::now() < end {
            self.pump(Duration::from_millis(50), &mut events)?;
        }
        Ok(())
    }

    /// What the host says of its memory.
    pub(crate) fn memory(&self) -> io::Result<Memory> {
        Memory::of(&self.target.kind, &self.folder.path)
    }

    /// Adds the host's last words to an error.
    pub(crate) fn explain(&self, error: &io::Error) -> io::Error {
        io::Error::new(error.kind(), format!("{error}\n{}", self.host.log_end()))
    }
}

/// Waits until one of these descriptors has one of its events.
fn wait_ready(descriptors: &[(RawFd, libc::c_short)], patience: Duration) -> io::Result<()> {
    let mut polled: Vec<libc::pollfd> = descriptors.iter().map(|&(fd, events)| libc::pollfd { fd, events, revents: 0 }).collect();
    // SAFETY: pointer and length are those of `polled`, which lives through the call.
    let count = unsafe { libc::poll(polled.as_mut_ptr(), polled.len() as libc::nfds_t, patience.as_millis() as libc::c_int) };
    let error = io::Error::last_os_error();
    if count < 0 && error.kind() != io::ErrorKind::Interrupted { Err(error) } else { Ok(()) }
}

/// A temporary folder, removed when dropped.
pub(crate) struct Folder {
    pub(crate) path: PathBuf,
}

impl Folder {
    pub(crate) fn new(name: &str, parent: PathBuf) -> io::Result<Self> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = parent.join(format!("xmpp_gateway-bench-{}-{name}-{count}", std::process::id()));
        fs::create_dir_all(&path)?;
        Ok(Self { path })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}
