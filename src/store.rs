//! What survives a restart: the rows of one table of the host's database, and their text form.
//!
//! A row is written by statements that we make ourselves, as no function of the hosts' database APIs replaces rows with every driver, nor many
//! at once. So a [`Text`] can hold nothing that ends a literal of SQL, in whatever mode a database reads it, and nothing that its
//! character set could change: ASCII without quotes and backslashes; all else is percent-encoded.
//!
//! ```text
//! id           digest of kind and key, in hexadecimal: JIDs of 3071 octets fit into no index
//! kind         authorization, subscription, publication or dialog
//! watcher      who watches, bare JID; empty in a publication
//! presentity   who is watched, bare JID; of a publication the full JID
//! content      lines of "name value"; unknown ones are passed over
//! expires      seconds since 1970; 0: as long as it is true
//! ```

pub mod entry;
pub mod message;

use std::borrow::Cow;
use std::fmt;

use data_encoding::HEXLOWER;
use sha1::Digest;
use sha1::Sha1;

/// The longest content of a row. What is longer is written without what can be asked for again.
pub const MAX_CONTENT: usize = 16 * 1024;

/// One row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its key.
    pub id: Id,
    /// What it is about.
    pub kind: Kind,
    /// Who watches.
    pub watcher: Text,
    /// Who is watched.
    pub presentity: Text,
    /// Everything else.
    pub content: Text,
    /// When it is true no more, in seconds since 1970; 0: that has no end.
    pub expires: u64,
}

/// The key of a row.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(String);

/// Text that any database takes between single quotes, and gives back as it was.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Text(String);

/// What a row is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// What an XMPP user decided on a SIP user, or is asked.
    Authorization,
    /// An XMPP user watches a SIP user.
    Subscription,
    /// A resource of an XMPP user is published.
    Publication,
    /// A SIP user watches an XMPP user by a dialog with the gateway.
    Dialog,
}

impl Id {
    /// Of the row with this key.
    pub fn of(kind: Kind, key: &[&str]) -> Self {
        let mut digest = Sha1::new();
        digest.update(kind.name());
        for part in key {
            // No part of a key has a line feed in it.
            digest.update("\n");
            digest.update(part);
        }
        Self(HEXLOWER.encode(&digest.finalize()))
    }

    /// One that stands in the table.
    pub fn read(text: &str) -> Option<Self> {
        let is_id = text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_id.then(|| Self(text.to_owned()))
    }

    /// As it stands in the table.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Text {
    /// Encodes what the table does not take. There is no line feed in it.
    pub fn encode(plain: &str) -> Self {
        let mut text = String::with_capacity(plain.len());
        for byte in plain.bytes() {
            if is_plain(byte) {
                text.push(char::from(byte));
            } else {
                text.extend(['%', hex(byte >> 4), hex(byte & 15)]);
            }
        }
        Self(text)
    }

    /// What stands in the table.
    pub fn read(octets: &[u8]) -> Option<Self> {
        let is_text = octets.iter().all(|byte| is_plain(*byte) || matches!(byte, b'%' | b'\n'));
        Some(Self(str::from_utf8(octets).ok().filter(|_| is_text)?.to_owned()))
    }

    /// What was encoded.
    pub fn decode(&self) -> Option<String> {
        decode(&self.0).map(Cow::into_owned)
    }

    /// As it stands in the table.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Kind {
    /// As it stands in the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Authorization => "authorization",
            Self::Subscription => "subscription",
            Self::Publication => "publication",
            Self::Dialog => "dialog",
        }
    }

    /// What this name stands for.
    pub fn of_name(name: &str) -> Option<Self> {
        [Self::Authorization, Self::Subscription, Self::Publication, Self::Dialog].into_iter().find(|kind| kind.name() == name)
    }
}

impl Row {
    /// One that stands in the table, or came from the other process.
    pub fn read([id, kind, watcher, presentity, content]: [&[u8]; 5], expires: u64) -> Option<Self> {
        let text = |octets| str::from_utf8(octets).ok();
        Some(Self {
            id: Id::read(text(id)?)?,
            kind: Kind::of_name(text(kind)?)?,
            watcher: Text::read(watcher)?,
            presentity: Text::read(presentity)?,
            content: Text::read(content)?,
            expires,
        })
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (watcher, presentity) = (self.watcher.as_str(), self.presentity.as_str());
        let content = self.content.as_str().replace('\n', "; ");
        write!(f, "{} [{watcher}] [{presentity}] {content} until {}", self.kind.name(), self.expires)
    }
}

/// The content of a row that is being made.
#[derive(Debug, Default)]
struct Content(String);

impl Content {
    fn line(&mut self, name: &str, value: &str) {
        self.push(name, [value]);
    }

    /// A line of several values, which have no spaces in them then.
    fn push<'a>(&mut self, name: &str, values: impl IntoIterator<Item = &'a str>) {
        if !self.0.is_empty() {
            self.0.push('\n');
        }
        self.0.push_str(name);
        for value in values {
            self.0.push(' ');
            self.0.push_str(&Text::encode(value).0.replace(' ', "%20"));
        }
    }

    /// The same, if it fits.
    fn push_if_short<'a>(&mut self, name: &str, values: impl IntoIterator<Item = &'a str>) {
        let before = self.0.len();
        self.push(name, values);
        if self.0.len() > MAX_CONTENT {
            self.0.truncate(before);
        }
    }

    fn finish(self) -> Text {
        Text(self.0)
    }
}

/// The lines of a content: names, and their encoded values.
fn lines(content: &Text) -> impl Iterator<Item = (&str, &str)> {
    content.0.split('\n').filter_map(|line| line.split_once(' '))
}

fn decode(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('%') {
        return Some(Cow::Borrowed(text));
    }
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let octet = match byte {
            b'%' => (digit(rest.next()?)? << 4) | digit(rest.next()?)?,
            byte => byte,
        };
        octets.push(octet);
    }
    String::from_utf8(octets).ok().map(Cow::Owned)
}

/// Printable ASCII but for what ends a literal (`'`), escapes in one (`\`) or stands for our own encoding.
fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && !matches!(byte, b'\'' | b'\\' | b'%')
}

fn hex(nibble: u8) -> char {
    char::from_digit(nibble.into(), 16).unwrap_or('0').to_ascii_uppercase()
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_ends_a_literal_and_each_comes_back() {
        for plain in
            ["", "romeo@example.net", "o'malley\\", "%", "%41", "J\u{fc}rgen\n\u{1f339}", "a\0b", "--; DROP TABLE x", "\u{7f}"]
        {
            let text = Text::encode(plain);
            assert!(
                text.as_str().bytes().all(|byte| (b' '..=b'~').contains(&byte) && byte != b'\'' && byte != b'\\'),
                "{text:?}"
            );
            assert_eq!(Text::read(text.as_str().as_bytes()).and_then(|text| text.decode()).as_deref(), Some(plain));
        }
    }

    #[test]
    fn what_is_no_text_of_ours_is_not_taken() {
        for bad in [&b"a'b"[..], b"a\\b", b"\xff", b"\0", "\u{fc}".as_bytes()] {
            assert_eq!(Text::read(bad), None);
        }
        for broken in ["%", "%4", "%zz", "%ff"] {
            assert_eq!(Text::read(broken.as_bytes()).unwrap().decode(), None, "{broken}");
        }
    }

    #[test]
    fn an_id_depends_on_kind_and_all_of_the_key() {
        let id = Id::of(Kind::Subscription, &["a", "b"]);
        assert_eq!(Id::read(id.as_str()), Some(id.clone()));
        assert_ne!(id, Id::of(Kind::Authorization, &["a", "b"]));
        assert_ne!(id, Id::of(Kind::Subscription, &["ab", ""]));
        assert_eq!(Id::read("' OR 1=1 --"), None);
    }
}
