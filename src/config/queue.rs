//! What waits while the XMPP server is not connected: how much (`queue_size`), and how long (`queue_ttl`).

use std::time::Duration;

use super::Error;
use super::Parameters;
use super::number;

/// The most that `queue_size` takes, and that waits for all peer domains together.
pub const MOST_QUEUED: u32 = 65_536;

/// How much waits for the XMPP server, and how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Queue {
    /// Stanzas a peer domain (`queue_size`); 0: none waits, what cannot be sent at once is refused.
    pub size: u32,
    /// How long one waits (`queue_ttl`).
    pub ttl: Duration,
}

/// Both bounds.
pub(super) fn queue(parameters: &Parameters) -> Result<Queue, Error> {
    let size = number("queue_size", parameters.queue_size, 0..=MOST_QUEUED, DEFAULT_QUEUE_SIZE, TAKES_QUEUE_SIZE)?;
    let ttl = number("queue_ttl", parameters.queue_ttl, 1..=LONGEST_QUEUE_TTL, DEFAULT_QUEUE_TTL, TAKES_QUEUE_TTL)?;
    Ok(Queue { size, ttl: Duration::from_secs(ttl.into()) })
}

/// Stanzas that wait for one peer domain, unless the operator says otherwise.
const DEFAULT_QUEUE_SIZE: u32 = 1000;

/// Seconds that one waits, unless the operator says otherwise: longer than the longest pause between two tries to connect.
const DEFAULT_QUEUE_TTL: u32 = 300;

/// The most that `queue_ttl` takes: a day. The sender of a message has been told "accepted".
const LONGEST_QUEUE_TTL: u32 = 86_400;

const TAKES_QUEUE_SIZE: &str = "the number of stanzas that may wait for one XMPP domain, from 0 (none waits) to 65536";
const TAKES_QUEUE_TTL: &str = "the seconds that a stanza may wait, from 1 to 86400";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::config::tests::minimal;
    use crate::config::tests::refusal;

    #[test]
    fn the_queue_has_bounds_that_are_named() {
        let queue = |size, ttl| Parameters { queue_size: size, queue_ttl: ttl, ..minimal() };
        let given = Config::from_parameters(&queue(Some(0), Some(86_400))).unwrap().queue;
        assert_eq!(given, Queue { size: 0, ttl: Duration::from_secs(86_400) });
        let default = Config::from_parameters(&queue(None, None)).unwrap().queue;
        assert_eq!(default, Queue { size: 1000, ttl: Duration::from_secs(300) });
        for (size, ttl, wanted) in [
            (Some(-1), None, "parameter queue_size is \"-1\"; it takes the number of stanzas"),
            (Some(65_537), None, "parameter queue_size is \"65537\"; it takes the number of stanzas"),
            (None, Some(0), "parameter queue_ttl is \"0\"; it takes the seconds"),
            (None, Some(86_401), "parameter queue_ttl is \"86401\"; it takes the seconds"),
        ] {
            assert!(refusal(&queue(size, ttl)).starts_with(wanted));
        }
    }
}
