//! SUBSCRIBEs for XMPP users that the script of this process is at (`presence_mode` local).
//!
//! The presence server shows them to us before it stores them. An XMPP server may answer at once, and an answer that finds no
//! subscription changes none: the watcher would wait for ever. So the gateway is told when the script has ended. And an answer to an earlier
//! question, which another phone of the watcher made it ask, may come between the two: then the presence server has to judge once more.

use std::mem;
use std::sync::Mutex;
use std::sync::PoisonError;

use crate::process::host::HostError;
use crate::sip::Uri;
use crate::worker::Worker;

/// SUBSCRIBEs of one script: one, but for scripts that make more.
const MAX_WATCHED: usize = 64;

/// Who subscribed to whom. Each process has its own.
#[derive(Debug)]
pub(super) struct Watched(Mutex<Vec<Subscribe>>);

/// SIP URIs.
#[derive(Debug)]
struct Subscribe {
    watcher: Vec<u8>,
    presentity: Vec<u8>,
    /// Nothing was decided when it came.
    was_undecided: bool,
}

impl Watched {
    pub(super) const fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    /// The presence server has a SUBSCRIBE of this watcher.
    pub(super) fn note(&self, worker: &Worker, watcher: Vec<u8>, presentity: Vec<u8>) {
        let was_undecided = worker.is_undecided(&watcher, &presentity);
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if noted.len() < MAX_WATCHED {
            noted.push(Subscribe { watcher, presentity, was_undecided });
        }
    }

    /// The script has ended. `judge` has all watchers of somebody judged by the presence server.
    pub(super) fn tell(&self, worker: &Worker, judge: impl Fn(&Uri) -> Result<(), HostError>) {
        let noted = mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        for Subscribe { watcher, presentity, was_undecided } in noted {
            let is_late = was_undecided && !worker.is_undecided(&watcher, &presentity);
            match worker.presentity_uri(&presentity).filter(|_| is_late) {
                Some(presentity) => {
                    if let Err(error) = judge(&presentity) {
                        log::error!("the watchers of {presentity} cannot be told of a decision: {error}");
                    }
                }
                None => worker.watched(&watcher, &presentity),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::config::Config;
    use crate::config::Parameters;
    use crate::gateway::action::Authorization;
    use crate::link;
    use crate::link::Inbox;

    #[test]
    fn a_decision_that_comes_while_a_subscription_is_stored_reaches_it() {
        let parameters = Parameters {
            xmpp_domain: Some("sip.example.com".into()),
            xmpp_password: Some("secret".into()),
            server_address: Some("sip:gateway@sip.example.com".into()),
            presence_mode: Some("local".into()),
            ..Parameters::default()
        };
        let (sender, receiver) = link::pair().unwrap();
        let worker = Worker::new(&Config::from_parameters(&parameters).unwrap(), sender);
        let (watched, judged) = (Watched::new(), RefCell::new(Vec::new()));
        let note = || watched.note(&worker, b"sip:alice@sip.example.com".to_vec(), b"sip:juliet@example.net".to_vec());
        // How many questions there are after it.
        let tell = || {
            watched.tell(&worker, |presentity| {
                judged.borrow_mut().push(presentity.to_string());
                Ok(())
            });
            let mut inbox = Inbox::new();
            receiver.receive(&mut inbox).unwrap();
            inbox.drain().count()
        };
        note();
        assert_eq!((tell(), judged.borrow().len()), (1, 0));
        note();
        receiver.shared().authorize("alice@sip.example.com", "juliet@example.net", Authorization::Allowed);
        assert_eq!((tell(), judged.take()), (0, vec!["sip:juliet@example.net".to_owned()]));
        // It was judged by that when it came.
        note();
        assert_eq!((tell(), judged.borrow().len()), (0, 0));
    }
}
