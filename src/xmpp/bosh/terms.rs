//! What the connection manager has agreed to (XEP-0124 §7.2).

use std::time::Duration;

use super::MOST_REQUESTS;
use super::body::Body;

/// The terms of one session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// What tells the session apart. Who knows it and a request number can speak in it: it is a secret.
    pub sid: String,
    /// How long a request may be held.
    pub wait: Duration,
    /// How many requests may be under way at once; 1 in a session that has to poll, else 2.
    pub requests: usize,
    /// How long there may be no request at all.
    pub inactivity: Duration,
    /// How long to wait between two empty requests in a session that has to poll.
    pub polling: Duration,
    /// How long the session may be asked to wait without a request, seconds; 0 if it may not.
    pub longest_pause: u32,
}

impl Terms {
    /// Those that the response to the first request says; `None` if it makes no session. What is not said is what the specification names,
    /// and what is beyond reason is brought back to it.
    pub(super) fn of(body: &Body, asked_wait: u32) -> Option<Self> {
        let sid = body.attribute("sid").filter(|sid| !sid.is_empty() && sid.len() <= LONGEST_SID)?.to_owned();
        let seconds = |name, usual: u32, least: u32, most: u32| {
            Duration::from_secs(body.number(name).unwrap_or(usual).clamp(least, most).into())
        };
        let wait = seconds("wait", asked_wait, 0, asked_wait);
        let hold = body.number("hold").unwrap_or(1);
        let requests = match body.number("requests").unwrap_or(hold.saturating_add(1)) {
            0 | 1 => 1,
            _ if hold == 0 || wait.is_zero() => 1,
            _ => MOST_REQUESTS,
        };
        Some(Self {
            sid,
            wait,
            requests,
            inactivity: seconds("inactivity", 60, 5, 3600),
            polling: seconds("polling", 5, 1, 300),
            longest_pause: body.number("maxpause").unwrap_or(0).min(3600),
        })
    }

    /// Whether no request is held: it has to be asked again and again.
    pub fn is_polling(&self) -> bool {
        self.requests == 1
    }
}

/// Bytes of a session's name.
const LONGEST_SID: usize = 256;
