//! What the rows mean: one type for each kind, and how it is written.

use super::Content;
use super::Id;
use super::Kind;
use super::Row;
use super::Text;
use super::decode;
use super::lines;
use crate::sip;
use crate::sip::Uri;

/// One thing that is remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// Of a SIP watcher.
    Authorization(Authorization),
    /// Of an XMPP user.
    Subscription(Subscription),
    /// Of an XMPP resource.
    Publication(Publication),
    /// Of a SIP watcher with the gateway.
    Dialog(Dialog),
}

/// How it stands between a SIP user who wants to see and an XMPP user who may be seen, bare JIDs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorization {
    /// The SIP user.
    pub watcher: String,
    /// The XMPP user.
    pub presentity: String,
    /// What the XMPP user said.
    pub standing: Standing,
}

/// What became of the question whether a SIP user may see an XMPP user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It was put, and is not answered.
    Asked,
    /// It may.
    Allowed,
    /// It may, and the XMPP user hides from it.
    Hidden,
    /// It may not.
    Refused,
}

/// The subscription of an XMPP user to a SIP user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// The XMPP user, bare JID.
    pub watcher: String,
    /// The SIP user, bare JID.
    pub presentity: String,
    /// The same two as the SIP URIs of the dialog.
    pub uris: (Uri, Uri),
    /// How far it is.
    pub phase: Phase,
    /// Whether a `subscribe` waits for its answer.
    pub is_announced: bool,
    /// What the SIP user is called.
    pub display_name: Option<String>,
    /// What the watcher was shown last.
    pub shown: Vec<Shown>,
}

/// What was shown of one resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// The resource; empty for the bare JID.
    pub resource: String,
    /// The stanza.
    pub stanza: String,
    /// Whether it says that the resource is there.
    pub is_available: bool,
}

/// How far the subscription of an XMPP user is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Asked for.
    Asked,
    /// Granted.
    Active,
    /// Given up.
    Ending,
}

/// A published resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    /// Full JID.
    pub jid: String,
    /// Its user as bare SIP URI.
    pub presentity: Uri,
    /// The id of the publication.
    pub id: String,
    /// The newest state.
    pub body: Vec<u8>,
    /// What the presence server calls it.
    pub entity_tag: Option<String>,
    /// SIP users who are shown it, bare JIDs; not all, if there are many.
    pub shown_to: Vec<String>,
}

/// The dialog of a SIP watcher with the gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dialog {
    /// Its texts.
    pub dialog: sip::Dialog,
    /// The SIP user, bare JID.
    pub watcher: String,
    /// The XMPP user, bare JID.
    pub presentity: String,
    /// Whether the XMPP user has agreed.
    pub is_active: bool,
    /// CSeq of the watcher's newest SUBSCRIBE.
    pub remote_cseq: u32,
    /// No NOTIFY written of before `written` has a higher CSeq.
    pub cseq: u32,
    /// When this was true, in seconds since 1970.
    pub written: u64,
    /// When it runs out, likewise.
    pub expires: u64,
}

impl Entry {
    /// The row of it.
    pub fn to_row(&self) -> Row {
        match self {
            Self::Authorization(it) => it.to_row(),
            Self::Subscription(it) => it.to_row(),
            Self::Publication(it) => it.to_row(),
            Self::Dialog(it) => it.to_row(),
        }
    }

    /// What a row says. `None`: nothing that can be used.
    pub fn of_row(row: &Row) -> Option<Self> {
        let (watcher, presentity) = (row.watcher.decode()?, row.presentity.decode()?);
        let content = Lines(&row.content);
        Some(match row.kind {
            Kind::Authorization => Self::Authorization(Authorization {
                watcher,
                presentity,
                standing: Standing::of_name(&content.one("standing")?)?,
            }),
            Kind::Subscription => Self::Subscription(Subscription {
                watcher,
                presentity,
                uris: (Uri::new(content.one("watcher_uri")?)?, Uri::new(content.one("presentity_uri")?)?),
                phase: Phase::of_name(&content.one("phase")?)?,
                is_announced: content.one("announced")? == "yes",
                display_name: content.one("name"),
                shown: content.shown("shown", true).chain(content.shown("gone", false)).collect(),
            }),
            Kind::Publication => Self::Publication(Publication {
                jid: presentity,
                presentity: Uri::new(content.one("uri")?)?,
                id: content.one("id")?,
                body: content.one("body")?.into_bytes(),
                entity_tag: content.one("entity_tag").and_then(|tag| sip::entity_tag(tag.as_bytes())),
                shown_to: content.all("shown_to").collect(),
            }),
            Kind::Dialog => Self::Dialog(Dialog {
                dialog: sip::Dialog::of(&content.one("dialog")?)?,
                watcher,
                presentity,
                is_active: content.one("phase")? == "active",
                remote_cseq: content.one("remote_cseq")?.parse().ok()?,
                cseq: content.one("cseq")?.parse().ok()?,
                written: content.one("written")?.parse().ok()?,
                expires: row.expires,
            }),
        })
    }
}

impl Authorization {
    /// The key of its row.
    pub fn id(watcher: &str, presentity: &str) -> Id {
        Id::of(Kind::Authorization, &[watcher, presentity])
    }

    fn to_row(&self) -> Row {
        let mut content = Content::default();
        content.line("standing", self.standing.name());
        row(Self::id(&self.watcher, &self.presentity), Kind::Authorization, (&self.watcher, &self.presentity), content, 0)
    }
}

impl Subscription {
    /// The key of its row.
    pub fn id(watcher: &str, presentity: &str) -> Id {
        Id::of(Kind::Subscription, &[watcher, presentity])
    }

    fn to_row(&self) -> Row {
        let mut content = Content::default();
        content.line("phase", self.phase.name());
        content.line("announced", if self.is_announced { "yes" } else { "no" });
        content.line("watcher_uri", &self.uris.0);
        content.line("presentity_uri", &self.uris.1);
        if let Some(name) = &self.display_name {
            content.push_if_short("name", [&**name]);
        }
        for Shown { resource, stanza, is_available } in &self.shown {
            content.push_if_short(if *is_available { "shown" } else { "gone" }, [&**resource, stanza]);
        }
        row(Self::id(&self.watcher, &self.presentity), Kind::Subscription, (&self.watcher, &self.presentity), content, 0)
    }
}

impl Publication {
    /// The key of its row.
    pub fn id(jid: &str) -> Id {
        Id::of(Kind::Publication, &[jid])
    }

    fn to_row(&self) -> Row {
        let mut content = Content::default();
        content.line("uri", &self.presentity);
        content.line("id", &self.id);
        if let Some(tag) = &self.entity_tag {
            content.line("entity_tag", tag);
        }
        content.push_if_short("body", [&*String::from_utf8_lossy(&self.body)]);
        for to in &self.shown_to {
            content.push_if_short("shown_to", [&**to]);
        }
        row(Self::id(&self.jid), Kind::Publication, ("", &self.jid), content, 0)
    }
}

impl Dialog {
    /// The key of its row.
    pub fn id(dialog: &sip::Dialog) -> Id {
        let (call_id, local_tag, remote_tag) = dialog.id();
        Id::of(Kind::Dialog, &[call_id, local_tag, remote_tag])
    }

    fn to_row(&self) -> Row {
        let mut content = Content::default();
        content.line("phase", if self.is_active { "active" } else { "pending" });
        content.line("remote_cseq", &self.remote_cseq.to_string());
        content.line("cseq", &self.cseq.to_string());
        content.line("written", &self.written.to_string());
        content.line("dialog", self.dialog.as_text());
        row(Self::id(&self.dialog), Kind::Dialog, (&self.watcher, &self.presentity), content, self.expires)
    }
}

impl Standing {
    fn name(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Allowed => "allowed",
            Self::Hidden => "hidden",
            Self::Refused => "refused",
        }
    }

    fn of_name(name: &str) -> Option<Self> {
        [Self::Asked, Self::Allowed, Self::Hidden, Self::Refused].into_iter().find(|standing| standing.name() == name)
    }
}

impl Phase {
    fn name(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Active => "active",
            Self::Ending => "ending",
        }
    }

    fn of_name(name: &str) -> Option<Self> {
        [Self::Asked, Self::Active, Self::Ending].into_iter().find(|phase| phase.name() == name)
    }
}

fn row(id: Id, kind: Kind, (watcher, presentity): (&str, &str), content: Content, expires: u64) -> Row {
    Row { id, kind, watcher: Text::encode(watcher), presentity: Text::encode(presentity), content: content.finish(), expires }
}

/// The content of a row that is read.
struct Lines<'a>(&'a Text);

impl Lines<'_> {
    fn one(&self, name: &str) -> Option<String> {
        self.all(name).next()
    }

    fn all(&self, name: &str) -> impl Iterator<Item = String> {
        lines(self.0).filter(move |(line, _)| *line == name).filter_map(|(_, value)| Some(decode(value)?.into_owned()))
    }

    fn shown(&self, name: &str, is_available: bool) -> impl Iterator<Item = Shown> {
        lines(self.0).filter(move |(line, _)| *line == name).filter_map(move |(_, values)| {
            let (resource, stanza) = values.split_once(' ')?;
            let (resource, stanza) = (decode(resource)?.into_owned(), decode(stanza)?.into_owned());
            Some(Shown { resource, stanza, is_available })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MAX_CONTENT;

    fn uri(uri: &str) -> Uri {
        Uri::new(uri.into()).unwrap()
    }

    fn shown(resource: &str, stanza: &str, is_available: bool) -> Shown {
        Shown { resource: resource.into(), stanza: stanza.into(), is_available }
    }

    fn subscription() -> Subscription {
        Subscription {
            watcher: "romeo@example.net".into(),
            presentity: "juliet@sip.example.com".into(),
            uris: (uri("sip:romeo@example.net"), uri("sip:juliet@sip.example.com")),
            phase: Phase::Active,
            is_announced: true,
            display_name: Some("J\u{fc}lia 'C' %".into()),
            shown: vec![shown("", "<presence/>", true), shown("my phone\n", "<presence from='a b'/>", false)],
        }
    }

    fn dialog() -> Dialog {
        Dialog {
            dialog: sip::Dialog::of("1@phone\nl\nr\nsip:romeo@example.net\nsip:juliet@example.com\nsip:j@h\n\nsip:p1;lr")
                .unwrap(),
            watcher: "juliet@sip.example.com".into(),
            presentity: "romeo@example.net".into(),
            is_active: true,
            remote_cseq: 7,
            cseq: 1024,
            written: 1_700_000_000,
            expires: 1_700_003_600,
        }
    }

    #[test]
    fn each_kind_is_read_as_it_was_written() {
        let authorization = |standing| {
            let (watcher, presentity) = ("juliet@sip.example.com".into(), "romeo@example.net".into());
            Entry::Authorization(Authorization { watcher, presentity, standing })
        };
        for entry in [
            authorization(Standing::Asked),
            authorization(Standing::Allowed),
            authorization(Standing::Hidden),
            authorization(Standing::Refused),
            Entry::Subscription(subscription()),
            Entry::Subscription(Subscription {
                phase: Phase::Ending,
                is_announced: false,
                display_name: None,
                shown: vec![],
                ..subscription()
            }),
            Entry::Publication(Publication {
                jid: "romeo@example.net/my orchard".into(),
                presentity: uri("sip:romeo@example.net"),
                id: "ID-orchard".into(),
                body: b"<?xml version='1.0'?>\n<presence/>".to_vec(),
                entity_tag: Some("a.1763756329.1".into()),
                shown_to: vec!["juliet@sip.example.com".into()],
            }),
            Entry::Dialog(dialog()),
            Entry::Dialog(Dialog { is_active: false, ..dialog() }),
        ] {
            assert_eq!(Entry::of_row(&entry.to_row()), Some(entry));
        }
    }

    #[test]
    fn what_can_be_asked_for_again_is_left_out_of_a_long_row() {
        let long =
            Subscription { shown: vec![shown("a", &"x".repeat(MAX_CONTENT), true), shown("b", "y", true)], ..subscription() };
        let Some(Entry::Subscription(read)) = Entry::of_row(&Entry::Subscription(long).to_row()) else { panic!() };
        assert_eq!(read.shown, [shown("b", "y", true)]);
    }

    #[test]
    fn a_line_from_a_later_version_is_passed_over_and_a_missing_one_is_not() {
        let row = Entry::Dialog(dialog()).to_row();
        let with = |content: String| Row { content: Text::read(content.as_bytes()).unwrap(), ..row.clone() };
        assert!(Entry::of_row(&with(format!("later x y\n{}", row.content.as_str()))).is_some());
        assert_eq!(Entry::of_row(&with(row.content.as_str().replace("remote_cseq", "other"))), None);
    }
}
