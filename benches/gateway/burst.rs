//! The loop of t_request that XMPP messages are compared with: as many MESSAGEs in one go, counted by their arrival.
//!
//! The same of both: what is sent, who answers it, and the rate, which is that of the arrivals at the SIP peer's socket, from the
//! first to the last. The loop starts with one stanza; the gateway gets all its stanzas as fast as it takes them.

use std::collections::HashSet;
use std::io;
use std::time::Duration;
use std::time::Instant;

use crate::directions::XMPP_DOMAIN;
use crate::load::Kind;
use crate::load::Limits;
use crate::load::widened;
use crate::rig::Rig;
use crate::xmpp_server::COMPONENT;
use crate::xmpp_server::LoopResult;

/// MESSAGEs in one go: under a second of work.
pub(crate) const BURST: usize = 10_000;

/// What one loop gave.
pub(crate) struct Loop {
    /// MESSAGEs per second, as they arrived.
    pub(crate) arrival_rate: f64,
    /// MESSAGEs per second, as the XMPP process itself timed its calls.
    pub(crate) own_rate: f64,
    /// MESSAGEs that the host sent again because it had no answer in time.
    pub(crate) resent: usize,
    /// CPU time that the host took.
    pub(crate) host_time: Duration,
}

/// How a burst is sent: all at once, nothing after it.
pub(crate) fn limits(of_rounds: &Limits) -> Limits {
    Limits { window: BURST, time: Duration::MAX, count: BURST, ..*of_rounds }
}

/// Lets the XMPP process of the host send a burst by itself. `None` if the module does not offer it.
pub(crate) fn t_request_loop(rig: &mut Rig, limits: &Limits) -> io::Result<Option<Loop>> {
    let mut transactions = HashSet::with_capacity(BURST);
    let mut arrivals = None;
    let mut resent = 0;
    let mut result = None;
    let mut events = Vec::new();
    let before = rig.host.cpu_time();
    rig.xmpp.send_text(&format!(
        "<iq type='set' id='loop' from='bench@{XMPP_DOMAIN}/load' to='{COMPONENT}'>\
         <loop xmlns='urn:xmpp_gateway:bench' count='{BURST}' to='sip:juliet@{COMPONENT}'/></iq>"
    ));
    let mut last_progress = Instant::now();
    while (result.is_none() || transactions.len() < BURST) && last_progress.elapsed() < Duration::from_secs(2) {
        rig.pump_after(limits.pause, Duration::from_millis(100), &mut events)?;
        // Those of the loop carry the number 0.
        for event in events.iter().filter(|event| event.kind == Kind::Message && event.id == 0) {
            if transactions.insert(event.transaction) {
                arrivals = Some(widened(arrivals, event.arrived));
                last_progress = Instant::now();
            } else {
                resent += 1;
            }
        }
        result = result.or(rig.xmpp.take_loop_result());
        if result == Some(LoopResult::NotOffered) {
            return Ok(None);
        }
    }
    rig.rest(limits.aftermath)?;
    let host_time = rig.host.cpu_time() - before;
    let (Some(LoopResult::Took(own)), Some((first, last)), BURST) = (result, arrivals, transactions.len()) else {
        return Err(io::Error::other(format!("{} of {BURST} MESSAGEs of the loop arrived", transactions.len())));
    };
    Ok(Some(Loop {
        arrival_rate: (BURST - 1) as f64 / Duration::from_nanos(last - first).as_secs_f64(),
        own_rate: BURST as f64 / own.as_secs_f64(),
        resent,
        host_time,
    }))
}
