//! A dialog that the SUBSCRIBE of a SIP watcher made with us (RFC 6665 §4.2), and the NOTIFYs in it (RFC 3261 §12).
//!
//! What the watcher wrote goes back in every NOTIFY: Call-ID, tags, URIs. The hosts' tm looks at none of it, so there is no [`Dialog`] with
//! a character in it that could end its line or its brackets.

use std::rc::Rc;

use super::Headers;

/// The state that one end of a dialog keeps, as far as a request of ours needs it. "Local" is the notifier, which we are.
///
/// One block of text, a line each: there may be hundreds of thousands of them. A copy of it is a reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dialog(Rc<str>);

/// The texts of a dialog.
#[derive(Debug, Clone, Copy, Default)]
pub struct Parts<'a> {
    /// Call-ID.
    pub call_id: &'a [u8],
    /// The tag of To in the SUBSCRIBE.
    pub local_tag: &'a [u8],
    /// The tag of From in the SUBSCRIBE.
    pub remote_tag: &'a [u8],
    /// The URI of To in the SUBSCRIBE.
    pub local_uri: &'a [u8],
    /// The URI of From in the SUBSCRIBE.
    pub remote_uri: &'a [u8],
    /// The URI of Contact in the SUBSCRIBE.
    pub remote_target: &'a [u8],
    /// Of Event.
    pub package: Package,
    /// The parameter `id` of Event; empty if there is none.
    pub event_id: &'a [u8],
    /// Where the SUBSCRIBE came in, as the host writes its sockets; empty if that is not known.
    pub socket: &'a [u8],
}

/// What a SIP watcher subscribes to.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Package {
    /// `presence` (RFC 3856).
    #[default]
    Presence,
    /// `dialog` (RFC 4235).
    Dialog,
}

impl Package {
    /// The package that an Event header names.
    pub fn of(name: &[u8]) -> Option<Self> {
        [Self::Presence, Self::Dialog].into_iter().find(|package| package.name().as_bytes() == name)
    }

    /// As Event has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Presence => "presence",
            Self::Dialog => "dialog",
        }
    }

    /// What its NOTIFYs carry.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Presence => "application/pidf+xml",
            Self::Dialog => "application/dialog-info+xml",
        }
    }
}

/// The longest dialog, in octets. Most are a tenth of it.
pub const MAX_DIALOG: usize = 2048;

/// What the line of the id begins with in a subscription to dialogs. No id has a semicolon in it.
const OF_DIALOGS: &str = "dialog;";

/// The line of the remote target.
const TARGET: usize = 5;

/// The line of the package and of the id in Event.
const EVENT: usize = 6;

/// The line of the socket.
const SOCKET: usize = 7;

/// Lines before the route set.
const TEXTS: usize = 8;

impl Dialog {
    /// `None` where a text that has to be there is empty, where one holds what its place in a request does not allow, or where all
    /// together are too long. `routes` are the URIs of Record-Route, in their order (RFC 3261 §12.1.1).
    pub fn new(parts: &Parts<'_>, routes: &[&[u8]]) -> Option<Self> {
        let Parts { call_id, local_tag, remote_tag, local_uri, remote_uri, remote_target, package, event_id, socket } = *parts;
        let of_package = match package {
            Package::Presence => "",
            Package::Dialog => OF_DIALOGS,
        };
        let event = [of_package.as_bytes(), event_id].concat();
        let mut lines = vec![call_id, local_tag, remote_tag, local_uri, remote_uri, remote_target, &event, socket];
        lines.extend(routes);
        if event_id.contains(&b';') || lines.iter().any(|line| line.contains(&b'\n')) {
            return None;
        }
        Self::of(&String::from_utf8(lines.join(&b'\n')).ok()?)
    }

    /// One that another process made.
    pub fn of(text: &str) -> Option<Self> {
        let mut lines = text.split('\n');
        let call_id = lines.next()?;
        let rest: Vec<&str> = lines.collect();
        let [.., event_id, socket] = rest.get(..TEXTS.checked_sub(1)?)? else { return None };
        let may_be_empty = |line| std::ptr::eq(line, event_id) || std::ptr::eq(line, socket);
        let plain = |line: &str| line.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'<' | b'>' | b'"'));
        let complete = !call_id.is_empty() && rest.iter().all(|line| !line.is_empty() || may_be_empty(line));
        let is_dialog = complete && call_id.bytes().all(|byte| byte.is_ascii_graphic()) && rest.iter().all(|line| plain(line));
        (is_dialog && text.len() <= MAX_DIALOG).then(|| Self(text.into()))
    }

    /// The same dialog after a request that named another target (RFC 3261 §12.2.2), or came in elsewhere: those of `refreshed`.
    #[must_use]
    pub fn refreshed(&self, refreshed: &Self) -> Self {
        if (self.remote_target(), self.socket()) == (refreshed.remote_target(), refreshed.socket()) {
            return self.clone();
        }
        let line = |(at, line)| match at {
            TARGET => refreshed.remote_target(),
            SOCKET => refreshed.socket(),
            _ => line,
        };
        let lines: Vec<&str> = self.0.split('\n').enumerate().map(line).collect();
        Self::of(&lines.join("\n")).unwrap_or_else(|| self.clone())
    }

    /// All of it, for another process.
    pub fn as_text(&self) -> &str {
        &self.0
    }

    /// Call-ID.
    pub fn call_id(&self) -> &str {
        self.line(0)
    }

    /// Our tag.
    pub fn local_tag(&self) -> &str {
        self.line(1)
    }

    /// The watcher's tag.
    pub fn remote_tag(&self) -> &str {
        self.line(2)
    }

    /// From of our requests.
    pub fn local_uri(&self) -> &str {
        self.line(3)
    }

    /// To of our requests.
    pub fn remote_uri(&self) -> &str {
        self.line(4)
    }

    /// Where the watcher is.
    pub fn remote_target(&self) -> &str {
        self.line(TARGET)
    }

    /// `id` of Event: it stands in each NOTIFY too (RFC 6665 §4.5.2).
    pub fn event_id(&self) -> &str {
        let event = self.line(EVENT);
        event.strip_prefix(OF_DIALOGS).unwrap_or(event)
    }

    /// What it is a subscription to.
    pub fn package(&self) -> Package {
        if self.line(EVENT).starts_with(OF_DIALOGS) { Package::Dialog } else { Package::Presence }
    }

    /// Where the SUBSCRIBE came in, and NOTIFYs go out: who is behind a NAT or a firewall is reached from there only. May be empty.
    pub fn socket(&self) -> &str {
        self.line(SOCKET)
    }

    /// The route set.
    pub fn routes(&self) -> impl Iterator<Item = &str> {
        self.0.split('\n').skip(TEXTS)
    }

    /// What tells dialogs apart: Call-ID, our tag, the watcher's tag.
    pub fn id(&self) -> (&str, &str, &str) {
        (self.call_id(), self.local_tag(), self.remote_tag())
    }

    fn line(&self, number: usize) -> &str {
        self.0.split('\n').nth(number).unwrap_or_default()
    }
}

/// A NOTIFY in a dialog, to be sent by the host's tm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notify {
    /// Comes back with its outcome.
    pub number: u64,
    /// The dialog it is sent in.
    pub dialog: Dialog,
    /// Number of CSeq.
    pub cseq: u32,
    /// Event, Subscription-State, Contact, and Content-Type if there is a body.
    pub headers: Headers,
    /// The body; may be empty.
    pub body: Vec<u8>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts() -> Parts<'static> {
        Parts {
            call_id: b"1@phone",
            local_tag: b"ours",
            remote_tag: b"theirs",
            local_uri: b"sip:romeo@example.net",
            remote_uri: b"sip:juliet@example.com",
            remote_target: b"sips:juliet@192.0.2.1;transport=tls",
            package: Package::Presence,
            event_id: b"",
            socket: b"udp:[2001:db8::1]:5060",
        }
    }

    #[test]
    fn a_dialog_has_the_texts_that_made_it() {
        let dialog = Dialog::new(&parts(), &[b"sip:p1;lr", b"sip:p2;lr"]).unwrap();
        assert_eq!(dialog.id(), ("1@phone", "ours", "theirs"));
        assert_eq!((dialog.local_uri(), dialog.remote_uri()), ("sip:romeo@example.net", "sip:juliet@example.com"));
        assert_eq!((dialog.remote_target(), dialog.event_id()), ("sips:juliet@192.0.2.1;transport=tls", ""));
        assert_eq!(dialog.socket(), "udp:[2001:db8::1]:5060");
        assert_eq!(dialog.routes().collect::<Vec<_>>(), ["sip:p1;lr", "sip:p2;lr"]);
        assert_eq!(Dialog::of(dialog.as_text()), Some(dialog));
    }

    #[test]
    fn a_package_and_an_id_are_told_apart() {
        for (package, event_id) in
            [(Package::Presence, ""), (Package::Presence, "dialog"), (Package::Dialog, ""), (Package::Dialog, "7")]
        {
            let dialog = Dialog::new(&Parts { package, event_id: event_id.as_bytes(), ..parts() }, &[]).unwrap();
            assert_eq!((dialog.package(), dialog.event_id()), (package, event_id));
            assert_eq!(Dialog::of(dialog.as_text()).map(|dialog| dialog.package()), Some(package));
        }
    }

    #[test]
    fn a_new_target_leaves_the_route_set_as_it_is() {
        let dialog = Dialog::new(&parts(), &[b"sip:p1;lr"]).unwrap();
        let elsewhere = Parts { remote_target: b"sip:juliet@192.0.2.2", socket: b"udp:192.0.2.9:5060", ..parts() };
        let moved = dialog.refreshed(&Dialog::new(&elsewhere, &[b"sip:p9;lr"]).unwrap());
        assert_eq!((moved.remote_target(), moved.socket()), ("sip:juliet@192.0.2.2", "udp:192.0.2.9:5060"));
        assert_eq!(dialog.refreshed(&Dialog::new(&Parts { socket: b"", ..parts() }, &[]).unwrap()).socket(), "");
        assert_eq!(moved.routes().collect::<Vec<_>>(), ["sip:p1;lr"]);
    }

    #[test]
    fn no_text_ends_its_line_or_its_brackets() {
        for bad in [&b""[..], b"a\r\nX: y", b"a\nb", b"a b", b"\xff", b"\xc3\xa9", b"a>;tag=1", b"a\""] {
            for (at, parts) in [
                (0, Parts { remote_tag: bad, ..parts() }),
                (1, Parts { local_uri: bad, ..parts() }),
                (2, Parts { remote_uri: bad, ..parts() }),
                (3, Parts { remote_target: bad, ..parts() }),
                (4, Parts { local_tag: bad, ..parts() }),
            ] {
                assert_eq!(Dialog::new(&parts, &[]), None, "{bad:?} {at}");
            }
            assert_eq!(Dialog::new(&parts(), &[bad]), None, "{bad:?}");
        }
        for bad in [&b""[..], b"a\r\nX: y", b"a b", b"\xff"] {
            assert_eq!(Dialog::new(&Parts { call_id: bad, ..parts() }, &[]), None, "{bad:?}");
        }
        assert!(Dialog::new(&Parts { call_id: b"a<\"b\">=@c", ..parts() }, &[]).is_some());
        assert_eq!(Dialog::new(&parts(), &[&[b'a'; MAX_DIALOG]]), None);
    }
}
