//! Whether a stream lives: what its server owes us, and since when. Sans-IO: time is an argument.
//!
//! | owed | within |
//! | --- | --- |
//! | an answer to the login | [`LOGIN_TIMEOUT`] |
//! | that it takes what we write | [`WRITE_TIMEOUT`], or the time in which pings would find it dead, if that is shorter |
//! | a byte, once it was asked for one | `ping_timeout` |
//!
//! Only time in which we read counts. What is owed may have come and lie there unread, and a server that writes to us before it goes
//! on reading is held up by nobody but us.

use std::time::Duration;
use std::time::Instant;

use crate::config;
use crate::process::broken::Broken;
use crate::process::broken::LOGIN_TIMEOUT;
use crate::process::broken::WRITE_TIMEOUT;

/// After so long without a byte from us a space is sent (RFC 6120 §4.6.1): a dead peer shows by an error or by WRITE_TIMEOUT.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// How often [`Liveness::check`] is called.
const TICK: Duration = Duration::from_secs(1);

/// The clock of one connection.
#[derive(Debug)]
pub(super) struct Liveness {
    limits: Option<config::Ping>,
    opened: Instant,
    /// When the server last took something.
    wrote: Instant,
    /// When something last came.
    heard: Instant,
    ping: Ping,
}

/// Whether a silent server was asked for a sign of life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ping {
    /// It was not.
    None,
    /// It is to be.
    Due,
    /// It was, then.
    Sent(Instant),
}

/// What a stream is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// The server has not accepted us yet.
    Login,
    /// It has, and something waits for it to be taken.
    Writing,
    /// It has, and all is written.
    Idle,
}

/// What is to be sent so that a dead server shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keepalive {
    /// Nothing now.
    NotDue,
    /// A space.
    Due,
}

impl Liveness {
    /// Of a connection that stands since now; `limits` as the operator set them.
    pub(super) fn new(now: Instant, limits: Option<config::Ping>) -> Self {
        Self { limits, opened: now, wrote: now, heard: now, ping: Ping::None }
    }

    /// The server took something.
    pub(super) fn wrote(&mut self, now: Instant) {
        self.wrote = now;
    }

    /// Something came, whatever it is.
    pub(super) fn heard(&mut self, now: Instant) {
        self.heard = now;
        self.ping = Ping::None;
    }

    /// Whether the server is to be pinged.
    pub(super) fn is_ping_due(&self) -> bool {
        self.ping == Ping::Due
    }

    /// It was.
    pub(super) fn pinged(&mut self, now: Instant) {
        self.ping = Ping::Sent(now);
    }

    /// For so long nothing was read.
    pub(super) fn stood_still(&mut self, now: Instant, time: Duration) {
        let later = |at: Instant| at.checked_add(time).map_or(now, |at| at.min(now));
        self.opened = later(self.opened);
        self.wrote = later(self.wrote);
        self.heard = later(self.heard);
        if let Ping::Sent(at) = self.ping {
            self.ping = Ping::Sent(later(at));
        }
    }

    /// Time has passed.
    pub(super) fn check(&mut self, now: Instant, phase: Phase) -> Result<Keepalive, Broken> {
        let since = |at: Instant| now.saturating_duration_since(at);
        if phase == Phase::Login {
            return if since(self.opened) >= LOGIN_TIMEOUT { Err(Broken::LoginTimeout) } else { Ok(Keepalive::NotDue) };
        }
        let patience = self.limits.map_or(WRITE_TIMEOUT, |ping| WRITE_TIMEOUT.min(ping.interval.saturating_add(ping.timeout)));
        if phase == Phase::Writing && since(self.wrote) >= patience {
            return Err(Broken::WriteTimeout(patience));
        }
        match (self.ping, self.limits) {
            (Ping::Sent(at), Some(limits)) if since(at) >= limits.timeout => return Err(Broken::PingTimeout(limits.timeout)),
            // A tick early rather than one late: interval and timeout together are a promise.
            (Ping::None, Some(limits)) if since(self.heard).saturating_add(TICK) > limits.interval => self.ping = Ping::Due,
            (Ping::None | Ping::Due | Ping::Sent(_), _) => {}
        }
        Ok(if phase == Phase::Idle && since(self.wrote) >= KEEPALIVE { Keepalive::Due } else { Keepalive::NotDue })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: config::Ping = config::Ping { interval: Duration::from_secs(30), timeout: Duration::from_secs(10) };

    /// A stream that is looked at once a second, by a clock of its own.
    struct Scene {
        now: Instant,
        liveness: Liveness,
    }

    impl Scene {
        fn new(limits: Option<config::Ping>) -> Self {
            let now = Instant::now();
            Self { now, liveness: Liveness::new(now, limits) }
        }

        /// Seconds until it breaks; a ping is sent when it is due.
        fn breaks(&mut self, phase: Phase, seconds: u32) -> Option<(u32, Broken)> {
            (1..=seconds).find_map(|second| {
                self.now = self.now.checked_add(TICK).unwrap();
                let broken = self.liveness.check(self.now, phase).err();
                if self.liveness.is_ping_due() {
                    self.liveness.pinged(self.now);
                }
                broken.map(|broken| (second, broken))
            })
        }

        /// For so many seconds nothing is read, and nobody looks.
        fn stand_still(&mut self, seconds: u32) {
            let time = TICK.saturating_mul(seconds);
            self.now = self.now.checked_add(time).unwrap();
            self.liveness.stood_still(self.now, time);
        }
    }

    #[test]
    fn each_debt_has_its_time() {
        let login = Scene::new(Some(LIMITS)).breaks(Phase::Login, 100);
        assert!(matches!(login, Some((15, Broken::LoginTimeout))), "{login:?}");
        for limits in [None, Some(LIMITS)] {
            let write = Scene::new(limits).breaks(Phase::Writing, 100);
            assert!(matches!(write, Some((30, Broken::WriteTimeout(_)))), "{write:?}");
        }
        let short = config::Ping { interval: Duration::from_secs(5), timeout: Duration::from_secs(7) };
        let write = Scene::new(Some(short)).breaks(Phase::Writing, 100);
        assert!(matches!(write, Some((12, Broken::WriteTimeout(_)))), "{write:?}");
        let ping = Scene::new(Some(LIMITS)).breaks(Phase::Idle, 100);
        assert!(matches!(ping, Some((40, Broken::PingTimeout(_)))), "{ping:?}");
        assert!(Scene::new(None).breaks(Phase::Idle, 1000).is_none());
    }

    #[test]
    fn any_byte_is_an_answer_to_a_ping() {
        let mut scene = Scene::new(Some(LIMITS));
        assert!(scene.breaks(Phase::Idle, 39).is_none());
        scene.liveness.heard(scene.now);
        assert!(matches!(scene.breaks(Phase::Idle, 100), Some((40, Broken::PingTimeout(_)))));
    }

    #[test]
    fn a_space_is_due_after_a_minute_without_a_byte_of_ours() {
        let mut scene = Scene::new(None);
        let mut check = |seconds, phase| {
            scene.now += TICK * seconds;
            scene.liveness.check(scene.now, phase).unwrap()
        };
        assert_eq!(check(29, Phase::Writing), Keepalive::NotDue);
        assert_eq!(check(30, Phase::Idle), Keepalive::NotDue);
        assert_eq!(check(1, Phase::Idle), Keepalive::Due);
        scene.liveness.wrote(scene.now);
        assert_eq!(scene.liveness.check(scene.now, Phase::Idle).unwrap(), Keepalive::NotDue);
    }

    /// The server may have paid long ago: it has what is left of its time from when we read again.
    #[test]
    fn time_in_which_nothing_is_read_does_not_count() {
        for (phase, seconds) in [(Phase::Login, 15), (Phase::Writing, 30), (Phase::Idle, 40)] {
            for before in [0, 1, seconds - 1] {
                let mut scene = Scene::new(Some(LIMITS));
                assert!(scene.breaks(phase, before).is_none());
                scene.stand_still(1000);
                let (left, _) = scene.breaks(phase, 100).unwrap();
                assert_eq!(left, seconds - before, "{phase:?} after {before} s");
            }
        }
    }

    #[test]
    fn what_happens_while_nothing_is_read_happens_at_the_end_of_it() {
        let mut scene = Scene::new(Some(LIMITS));
        let start = scene.now;
        scene.liveness.pinged(start + TICK * 9);
        scene.liveness.wrote(start + TICK * 9);
        scene.stand_still(10);
        assert!(matches!(scene.breaks(Phase::Idle, 100), Some((10, Broken::PingTimeout(_)))));
    }
}
