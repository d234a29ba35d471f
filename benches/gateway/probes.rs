//! A client logs in: its server probes every SIP user on its list, and the gateway knows the answers.

use std::io;
use std::time::Duration;
use std::time::Instant;

use crate::directions::Notify;
use crate::directions::XMPP_DOMAIN;
use crate::load::History;
use crate::load::Kind;
use crate::report::micros;
use crate::rig::Rig;
use crate::xmpp_server::COMPONENT;

/// SIP users on the list.
const CONTACTS: usize = 500;

/// What the answers to all of them may take.
const MOST: Duration = Duration::from_millis(100);

/// Without an answer for this long, no more come.
const PATIENCE: Duration = Duration::from_secs(2);

/// Logs in this many times.
pub(crate) fn answer(rig: &mut Rig, logins: usize, history: &mut History) -> io::Result<(bool, String)> {
    Notify::subscribe_as(rig, |_| "romeo".to_owned(), CONTACTS, history)?;
    let mut times = Vec::new();
    for _ in 0..logins {
        times.push(login(rig)?);
    }
    times.sort();
    let (median, longest) = (times[times.len() / 2], times[times.len() - 1]);
    println!("{CONTACTS} probes answered: p50 {}, at most {}", micros(median), micros(longest));
    Ok((median < MOST, micros(median)))
}

/// Sends the probes; how long the answers took.
fn login(rig: &mut Rig) -> io::Result<Duration> {
    let mut events = Vec::new();
    let start = Instant::now();
    for contact in 0..CONTACTS {
        rig.xmpp.send_text(&format!("<presence from='romeo@{XMPP_DOMAIN}' to='juliet{contact}@{COMPONENT}' type='probe'/>"));
    }
    let (mut answered, mut last) = (0, start);
    while answered < CONTACTS {
        rig.pump(Duration::from_millis(50), &mut events)?;
        let answers = events.iter().filter(|event| event.kind == Kind::Stanza).count();
        if answers > 0 {
            last = Instant::now();
        }
        answered += answers;
        if last.elapsed() > PATIENCE {
            return Err(io::Error::other(format!("{answered} of {CONTACTS} probes were answered")));
        }
    }
    Ok(last - start)
}
