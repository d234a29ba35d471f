//! Which server is connected next, and when.
//!
//! The servers of a component are tried in the order of the list, without a pause between them; after the last one there is a pause
//! that doubles, and the round begins anew. Some ends want something else (RFC 6120 §4.9.3):
//!
//! | end | what follows |
//! | --- | --- |
//! | a stream that stood for a minute breaks | from the head of the list, after the shortest pause |
//! | one that broke earlier | the server after it, after the next longer pause |
//! | `system-shutdown` of a stream that stood | the same server once more after the shortest pause, then the next |
//! | `see-other-host` | there, at once; no more than [`MAX_HOPS`] in succession |
//! | `policy-violation`, `resource-constraint` | as above, but not before [`LATER`] |
//! | `conflict`, `not-authorized`, `host-unknown`, a certificate not to be trusted | as above, but after the longest pause |
//!
//! A pause is as long as the worst of its round asks for. No clock, no I/O.

use std::fmt;
use std::time::Duration;
use std::time::Instant;

use crate::config::Server;
use crate::process::backoff::Backoff;
use crate::process::backoff::LONGEST;
use crate::process::backoff::Stood;
use crate::process::broken::Remedy;

/// `see-other-host` followed in succession (RFC 6120 §4.9.3.19: at least 2, no more than 5).
pub(super) const MAX_HOPS: u32 = 3;

/// The shortest pause after we asked too much.
const LATER: Duration = Duration::from_secs(15);

/// Where one component's connection goes.
#[derive(Debug)]
pub(super) struct Reconnect<'a> {
    servers: &'a [Server],
    /// The server of the list that is tried, or that sent us elsewhere.
    at: usize,
    /// Where it sent us.
    elsewhere: Option<Server>,
    hops: u32,
    /// Servers that have failed since the last pause.
    failed: usize,
    /// The pause that they ask for.
    least: Duration,
    backoff: Backoff,
}

/// What was decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) pause: Duration,
    /// Where, if it is not where the last try went.
    pub(super) server: Option<Server>,
}

impl<'a> Reconnect<'a> {
    /// Begins with the head of the list.
    pub(super) fn new(servers: &'a [Server]) -> Self {
        Self { servers, at: 0, elsewhere: None, hops: 0, failed: 0, least: Duration::ZERO, backoff: Backoff::default() }
    }

    /// The server to connect now.
    pub(super) fn server(&self) -> Option<&Server> {
        self.elsewhere.as_ref().or_else(|| self.servers.get(self.at))
    }

    /// The name that its certificate has to prove: the one that was configured, whoever sent us elsewhere (RFC 6120 §4.9.3.19).
    pub(super) fn name(&self) -> &str {
        self.servers.get(self.at).map_or("", |server| &server.host)
    }

    /// The server has accepted us.
    pub(super) fn up(&mut self, now: Instant) {
        self.backoff.up(now);
        self.failed = 0;
        self.least = Duration::ZERO;
    }

    /// A try failed, or the stream broke.
    pub(super) fn ended(&mut self, now: Instant, remedy: Remedy, dice: u64) -> Plan {
        let last = self.server().cloned();
        let pause = self.decide(now, remedy, dice);
        let server = self.server().filter(|server| Some(*server) != last.as_ref()).cloned();
        Plan { pause, server }
    }

    fn decide(&mut self, now: Instant, remedy: Remedy, dice: u64) -> Duration {
        let stood = self.backoff.stood(now);
        if stood == Stood::Stable {
            self.hops = 0;
        }
        let least = match remedy {
            Remedy::Elsewhere(host) => match self.redirected(&host) {
                Some(server) => {
                    self.elsewhere = Some(server);
                    return Duration::ZERO;
                }
                None => LATER,
            },
            Remedy::ComesBack if stood != Stood::Never => {
                return self.backoff.quick_pause(dice);
            }
            Remedy::Retry | Remedy::ComesBack => Duration::ZERO,
            Remedy::Later => LATER,
            Remedy::Operator => LONGEST,
        };
        self.least = self.least.max(least);
        self.elsewhere = None;
        self.at = match stood {
            Stood::Stable => 0,
            Stood::Never | Stood::Shortly => self.at.checked_add(1).filter(|next| *next < self.servers.len()).unwrap_or(0),
        };
        if stood == Stood::Never {
            self.failed = self.failed.saturating_add(1);
            if self.failed < self.servers.len() {
                return Duration::ZERO;
            }
        }
        self.round_over(now, dice)
    }

    fn round_over(&mut self, now: Instant, dice: u64) -> Duration {
        if self.failed > 0 {
            self.at = 0;
        }
        self.failed = 0;
        self.hops = 0;
        let least = std::mem::take(&mut self.least);
        self.backoff.pause(now, least, dice)
    }

    /// Where a server sent us, if that is a place and we were not sent on too often.
    fn redirected(&mut self, host: &str) -> Option<Server> {
        let port = self.server()?.port;
        let server = Server::parse(host, port)?;
        self.hops = self.hops.saturating_add(1);
        (self.hops <= MAX_HOPS).then_some(server)
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("next try")?;
        if let Some(server) = &self.server {
            write!(f, " at {server}")?;
        }
        if self.pause.is_zero() { f.write_str(" at once") } else { write!(f, " in {:.1} s", self.pause.as_secs_f32()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn servers(names: &[&str]) -> Vec<Server> {
        names.iter().map(|name| Server::parse(name, 5347).unwrap()).collect()
    }

    /// Without jitter, what became of a number of ends.
    fn plans(servers: &[Server], ends: &[(Stood, Remedy)]) -> Vec<String> {
        let mut reconnect = Reconnect::new(servers);
        let mut now = Instant::now();
        let mut said = Vec::new();
        for (stood, remedy) in ends {
            if *stood != Stood::Never {
                reconnect.up(now);
                let seconds = if *stood == Stood::Stable { 60 } else { 1 };
                now = now.checked_add(Duration::from_secs(seconds)).unwrap();
            }
            said.push(reconnect.ended(now, remedy.clone(), 0).to_string());
        }
        said
    }

    #[test]
    fn all_servers_are_tried_before_a_pause() {
        let never = (Stood::Never, Remedy::Retry);
        assert_eq!(
            plans(&servers(&["a", "b", "c"]), &vec![never; 7]),
            [
                "next try at b:5347 at once",
                "next try at c:5347 at once",
                "next try at a:5347 in 1.0 s",
                "next try at b:5347 at once",
                "next try at c:5347 at once",
                "next try at a:5347 in 2.0 s",
                "next try at b:5347 at once",
            ]
        );
    }

    #[test]
    fn a_good_stream_that_broke_begins_at_the_head_and_a_short_one_after_itself() {
        let ends = [
            (Stood::Never, Remedy::Retry),
            (Stood::Stable, Remedy::Retry),
            (Stood::Shortly, Remedy::Retry),
            (Stood::Shortly, Remedy::Retry),
        ];
        assert_eq!(
            plans(&servers(&["a", "b"]), &ends),
            [
                "next try at b:5347 at once",
                "next try at a:5347 in 1.0 s",
                "next try at b:5347 in 2.0 s",
                "next try at a:5347 in 4.0 s"
            ]
        );
    }

    #[test]
    fn a_server_that_stops_is_tried_once_more_and_then_the_next() {
        let ends = [(Stood::Stable, Remedy::ComesBack), (Stood::Never, Remedy::Retry), (Stood::Stable, Remedy::Retry)];
        assert_eq!(
            plans(&servers(&["a", "b"]), &ends),
            ["next try in 1.0 s", "next try at b:5347 at once", "next try at a:5347 in 1.0 s"]
        );
        // One that says it at the login is of no use now.
        let stopping = [(Stood::Never, Remedy::ComesBack)];
        assert_eq!(plans(&servers(&["a", "b"]), &stopping), ["next try at b:5347 at once"]);
    }

    #[test]
    fn what_needs_the_operator_has_the_longest_pause_once_all_were_tried() {
        let ends = [(Stood::Never, Remedy::Operator), (Stood::Never, Remedy::Retry), (Stood::Never, Remedy::Retry)];
        assert_eq!(
            plans(&servers(&["a", "b"]), &ends),
            ["next try at b:5347 at once", "next try at a:5347 in 60.0 s", "next try at b:5347 at once"]
        );
        // A name that another holds, with a stream that stood.
        let conflict = [(Stood::Stable, Remedy::Operator), (Stood::Never, Remedy::Retry)];
        assert_eq!(plans(&servers(&["a"]), &conflict), ["next try in 60.0 s", "next try in 2.0 s"]);
    }

    #[test]
    fn asking_too_much_is_not_repeated_soon() {
        assert_eq!(plans(&servers(&["a"]), &[(Stood::Stable, Remedy::Later)]), ["next try in 15.0 s"]);
    }

    #[test]
    fn another_host_is_followed_at_once_and_not_for_ever() {
        let elsewhere = |host: &str| (Stood::Never, Remedy::Elsewhere(host.to_owned()));
        let ends = [elsewhere("c"), elsewhere("[::1]:1"), elsewhere("192.0.2.1"), elsewhere("c"), elsewhere("c")];
        assert_eq!(
            plans(&servers(&["a:5000", "b"]), &ends),
            [
                "next try at c:5000 at once",
                "next try at [::1]:1 at once",
                "next try at 192.0.2.1:1 at once",
                "next try at b:5347 at once",
                "next try at a:5000 in 15.0 s",
            ]
        );
    }

    #[test]
    fn streams_that_stand_a_moment_do_not_hide_a_loop_of_hosts() {
        let hop = |host: &str| (Stood::Shortly, Remedy::Elsewhere(host.to_owned()));
        let said = plans(&servers(&["a"]), &[hop("b"), hop("a"), hop("b"), hop("a")]);
        assert_eq!(said.last().unwrap(), "next try at a:5347 in 15.0 s");
    }

    #[test]
    fn a_name_that_is_none_is_not_followed() {
        for host in ["", "a b", "host:port", "evil/../", "a;b", "\u{0}"] {
            let ends = [(Stood::Never, Remedy::Elsewhere(host.to_owned()))];
            assert_eq!(plans(&servers(&["a"]), &ends), ["next try in 15.0 s"], "{host}");
        }
    }

    #[test]
    fn a_certificate_has_to_be_for_the_configured_name() {
        let servers = servers(&["a"]);
        let mut reconnect = Reconnect::new(&servers);
        reconnect.ended(Instant::now(), Remedy::Elsewhere("mallory".into()), 0);
        assert_eq!((reconnect.server().unwrap().host.as_str(), reconnect.name()), ("mallory", "a"));
    }
}
