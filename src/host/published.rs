//! PUBLISHes of SIP users to the host's own presence server: they say that a phone is there, as registrations do (`phone_state`).
//!
//! The presence server shows them to us before it looks at them. One that ends a publication leaves others of its user as they are, and
//! maybe it ends none: so what is left is asked for when the script has ended.

use std::mem;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use crate::phone::account;

/// What the presence server does where a PUBLISH does not say how long it is for, and the longest that it takes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lifetimes {
    pub(crate) usual: u32,
    pub(crate) longest: u32,
}

impl Lifetimes {
    /// That of a PUBLISH with this Expires header, if it has one.
    pub(crate) fn of(self, expires: Option<&[u8]>) -> Duration {
        let given = expires.and_then(|text| str::from_utf8(text.trim_ascii()).ok()?.parse().ok());
        Duration::from_secs(given.unwrap_or(self.usual).min(self.longest).into())
    }
}

/// Presentities whose publications are to be looked at when the script of this process has ended.
#[derive(Debug)]
pub(crate) struct Withdrawn(Mutex<Vec<Presentity>>);

impl Withdrawn {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    pub(crate) fn note(&self, presentity: Presentity) {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if noted.len() < MOST_NOTED {
            noted.push(presentity);
        }
    }

    pub(crate) fn take(&self) -> Vec<Presentity> {
        mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Whom a PUBLISH is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Presentity {
    /// As the presence server writes it: it finds what it has by this very text.
    pub(crate) uri: String,
    /// As an account has it.
    pub(crate) user: String,
}

impl Presentity {
    /// Of the user and host of a Request-URI.
    pub(crate) fn of(user: &[u8], host: &[u8]) -> Option<Self> {
        let uri = String::from_utf8([b"sip:".as_slice(), user, b"@", host].concat()).ok()?;
        account::sip_uri(&uri).map(|user| Self { uri, user })
    }
}

/// PUBLISHes of one script: one, but for scripts that make more.
const MOST_NOTED: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_publication_lasts_as_long_as_the_presence_server_keeps_it() {
        let lifetimes = Lifetimes { usual: 1800, longest: 3600 };
        let cases =
            [(None, 1800), (Some("60"), 60), (Some(" 0 "), 0), (Some("7200"), 3600), (Some("soon"), 1800), (Some("-1"), 1800)];
        for (expires, seconds) in cases {
            assert_eq!(lifetimes.of(expires.map(str::as_bytes)), Duration::from_secs(seconds), "{expires:?}");
        }
    }

    #[test]
    fn a_publication_is_of_a_user_of_a_domain() {
        let user = |user: &[u8], host: &[u8]| Presentity::of(user, host).map(|presentity| presentity.user);
        assert_eq!(user(b"juliet", b"Example.com").as_deref(), Some("sip:juliet@example.com"));
        assert_eq!(user(b"", b"example.com"), None);
        assert_eq!(user(b"juli\xff", b"example.com"), None);
    }

    #[test]
    fn the_presence_server_is_asked_in_its_own_words() {
        let withdrawn = Withdrawn::new();
        Presentity::of(b"Juliet", b"Example.com").into_iter().for_each(|presentity| withdrawn.note(presentity));
        let uris: Vec<_> = withdrawn.take().into_iter().map(|presentity| presentity.uri).collect();
        assert_eq!(uris, ["sip:Juliet@Example.com"]);
        assert_eq!(withdrawn.take(), []);
    }
}
