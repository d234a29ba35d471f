//! Reading dialog information as nearly everybody writes it, in one pass and without looking at anything twice.
//!
//! A presence server reads all documents of a presentity with each NOTIFY, and they look alike: one default namespace, no prefix, no comment,
//! no reference, only elements that are known here. [`document`] reads those, and gives up at whatever else there is, mistakes too: then
//! [`Document::read`] says what it is. What it does read, that one reads in the same way.

use super::super::dialog_state::Cause;
use super::super::dialog_state::DialogState;
use super::super::dialog_state::End;
use super::Dialog;
use super::Direction;
use super::Document;
use super::MAX_DIALOGS;
use super::MAX_PARAMETERS;
use super::NameAddress;
use super::Parameter;
use super::Participant;
use super::Replaces;
use super::State;
use super::Target;
use super::parse::number;

/// The most attributes that an element may have here.
const MAX_ATTRIBUTES: usize = 8;

/// Reads a document. `None`: somebody else has to.
pub(super) fn document(text: &str) -> Option<Document> {
    let mut scan = Scan { rest: text, attributes: [("", ""); MAX_ATTRIBUTES], attribute_count: 0 };
    if let Some(declaration) = text.strip_prefix("<?xml ") {
        let (declaration, rest) = declaration.split_once("?>")?;
        // The rest of it does not matter: the bytes are UTF-8.
        scan.rest = (!declaration.contains(['<', '>'])).then_some(rest)?;
    }
    let root = scan.start()??;
    if root.name != "dialog-info" || scan.attribute("xmlns")? != "urn:ietf:params:xml:ns:dialog-info" {
        return None;
    }
    let mut document = Document {
        version: scan.value("version").map_or(Some(0), number)?,
        state: match scan.value("state") {
            Some(name) => State::ALL.into_iter().find(|state| state.name() == name)?,
            None => State::Full,
        },
        entity: scan.value("entity").unwrap_or_default().to_owned(),
        dialogs: Vec::new(),
    };
    if root.content == Content::Some {
        while let Some(child) = scan.child()? {
            let room = document.dialogs.len() < MAX_DIALOGS;
            document.add(scan.dialog(child).filter(|_| room)?);
        }
        scan.close("dialog-info")?;
    }
    scan.rest.trim_ascii().is_empty().then_some(document)
}

/// What is left to read.
struct Scan<'a> {
    rest: &'a str,
    /// Of the start tag that was read last, as many as there are.
    attributes: [(&'a str, &'a str); MAX_ATTRIBUTES],
    attribute_count: usize,
}

/// A start tag. Its attributes have to be asked for before anything else is read.
#[derive(Clone, Copy)]
struct Tag<'a> {
    name: &'a str,
    content: Content,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Content {
    /// An empty element.
    None,
    Some,
}

/// All give `None` where this is nothing to be read here.
impl<'a> Scan<'a> {
    fn attribute(&self, name: &str) -> Option<&'a str> {
        let attributes = self.attributes.get(..self.attribute_count).unwrap_or_default();
        attributes.iter().find(|(key, _)| *key == name).map(|(_, value)| *value)
    }

    /// The value of an attribute that is there and not empty.
    fn value(&self, name: &str) -> Option<&'a str> {
        self.attribute(name).filter(|value| !value.is_empty())
    }

    fn owned(&self, name: &str) -> Option<String> {
        self.value(name).map(str::to_owned)
    }

    fn dialog(&mut self, tag: Tag<'a>) -> Option<Dialog> {
        if tag.name != "dialog" || tag.content == Content::None {
            return None;
        }
        let mut state = None;
        let mut dialog = Dialog {
            call_id: self.owned("call-id"),
            local_tag: self.owned("local-tag"),
            remote_tag: self.owned("remote-tag"),
            direction: self
                .value("direction")
                .and_then(|name| Direction::ALL.into_iter().find(|direction| direction.name() == name.trim())),
            ..Dialog::new(self.owned("id")?, DialogState::Trying)
        };
        while let Some(child) = self.child()? {
            match child.name {
                "state" => state = Some(self.state(child)?),
                "duration" => dialog.duration = number(self.text(child)?),
                "replaces" => dialog.replaces = self.replaces(child)?,
                "referred-by" => dialog.referred_by = Some(self.address(child)?),
                "local" => dialog.local = Some(self.participant(child)?),
                "remote" => dialog.remote = Some(self.participant(child)?),
                _ => return None,
            }
        }
        self.close("dialog")?;
        dialog.state = state?;
        Some(dialog)
    }

    fn state(&mut self, tag: Tag<'a>) -> Option<DialogState> {
        let cause = self.value("event").and_then(Cause::from_name);
        let code = self.value("code").and_then(|code| code.trim().parse().ok());
        DialogState::from_name(self.text(tag)?, End::new(cause, code))
    }

    fn replaces(&mut self, tag: Tag<'a>) -> Option<Option<Replaces>> {
        let replaces = match (self.owned("call-id"), self.owned("local-tag"), self.owned("remote-tag")) {
            (Some(call_id), Some(local_tag), Some(remote_tag)) => Some(Replaces { call_id, local_tag, remote_tag }),
            _ => None,
        };
        self.text(tag)?;
        Some(replaces)
    }

    fn address(&mut self, tag: Tag<'a>) -> Option<NameAddress> {
        Some(NameAddress { display: self.owned("display"), uri: self.text(tag)?.trim().to_owned() })
    }

    fn participant(&mut self, tag: Tag<'a>) -> Option<Participant> {
        let mut participant = Participant::default();
        if tag.content == Content::None {
            return Some(participant);
        }
        while let Some(child) = self.child()? {
            match child.name {
                "identity" => participant.identity = Some(self.address(child)?),
                "target" => participant.target = Some(self.target(child)?),
                "cseq" => participant.cseq = number(self.text(child)?),
                _ => return None,
            }
        }
        self.close(tag.name)?;
        Some(participant)
    }

    fn target(&mut self, tag: Tag<'a>) -> Option<Target> {
        let mut target = Target { uri: self.owned("uri").unwrap_or_default(), parameters: Vec::new() };
        if tag.content == Content::None {
            return Some(target);
        }
        while let Some(child) = self.child()? {
            if child.name != "param" {
                return None;
            }
            if let Some(name) = self.owned("pname").filter(|_| target.parameters.len() < MAX_PARAMETERS) {
                target.parameters.push(Parameter { name, value: self.owned("pval").unwrap_or_default() });
            }
            self.text(child)?;
        }
        self.close("target")?;
        Some(target)
    }

    /// The next child's start tag; within, `None` before an end tag. Only the root element declares a namespace.
    fn child(&mut self) -> Option<Option<Tag<'a>>> {
        let child = self.start()?;
        if child.is_some() && self.attribute("xmlns").is_some() { None } else { Some(child) }
    }

    fn start(&mut self) -> Option<Option<Tag<'a>>> {
        let at = self.rest.trim_ascii_start();
        let bytes = at.as_bytes();
        if bytes.starts_with(b"</") {
            self.rest = at;
            return Some(None);
        }
        let rest = at.strip_prefix('<')?;
        let end = rest.bytes().position(|byte| !byte.is_ascii_lowercase() && byte != b'-').filter(|end| *end > 0)?;
        let (name, mut rest) = rest.split_at_checked(end)?;
        let mut count = 0_usize;
        let content = loop {
            let next = rest.trim_ascii_start();
            match next.as_bytes() {
                [b'>', ..] => {
                    rest = next.get(1..)?;
                    break Content::Some;
                }
                [b'/', b'>', ..] => {
                    rest = next.get(2..)?;
                    break Content::None;
                }
                _ => {}
            }
            let end = next.bytes().position(|byte| !byte.is_ascii_alphanumeric() && byte != b'-')?;
            let (key, after) = next.split_at_checked(end)?;
            // White space has to stand between attributes, and a name before the equals sign.
            if !key.starts_with(|c: char| c.is_ascii_alphabetic()) || next.len() == rest.len() {
                return None;
            }
            let [b'=', quote @ (b'"' | b'\''), after @ ..] = after.as_bytes() else { return None };
            let length = memchr::memchr(*quote, after)?;
            let start = end.checked_add(2)?;
            let end = start.checked_add(length)?;
            let value = next.get(start..end)?;
            // Other control characters have been looked for.
            let odd =
                memchr::memchr3(b'&', b'<', b'\n', value.as_bytes()).or_else(|| memchr::memchr2(b'\r', b'\t', value.as_bytes()));
            if odd.is_some() {
                return None;
            }
            if self.attributes.iter().take(count).any(|(known, _)| *known == key) {
                return None;
            }
            *self.attributes.get_mut(count)? = (key, value);
            count = count.checked_add(1)?;
            rest = next.get(end.checked_add(1)?..)?;
        };
        self.attribute_count = count;
        self.rest = rest;
        Some(Some(Tag { name, content }))
    }

    /// The text of an element without children, up to its end.
    fn text(&mut self, tag: Tag<'a>) -> Option<&'a str> {
        if tag.content == Content::None {
            return Some("");
        }
        let (text, rest) = self.rest.split_at_checked(memchr::memchr(b'<', self.rest.as_bytes())?)?;
        if memchr::memchr3(b'&', b'\r', b']', text.as_bytes()).is_some() {
            return None;
        }
        self.rest = rest;
        self.close(tag.name)?;
        Some(text)
    }

    fn close(&mut self, name: &str) -> Option<()> {
        let rest = self.rest.strip_prefix("</")?.strip_prefix(name)?;
        self.rest = rest.trim_ascii_start().strip_prefix('>')?;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As pua_dialoginfo writes it.
    const USUAL: &str = "<?xml version=\"1.0\"?>\n<dialog-info xmlns=\"urn:ietf:params:xml:ns:dialog-info\" version=\"00000000000\" \
        state=\"full\" entity=\"sip:bob@example.com\">\n  <dialog id=\"a84b@192.0.2.3\" call-id=\"a84b@192.0.2.3\" local-tag=\"1928\" \
        remote-tag=\"4568\" direction=\"recipient\">\n    <state event='rejected' code=\"486\">terminated</state>\n <duration>7</duration>\n \
        <replaces call-id='a' local-tag='b' remote-tag='c'/><referred-by display='x'>sip:c@d</referred-by>\r\n <remote>\n  \
        <identity display=\"\">sip:alice@example.com</identity>\n <target uri=\"sip:alice@192.0.2.3:5060\"/>\n    </remote>\n    <local>\n \
        <identity>sip:bob@example.com</identity>\n <target uri=\"sip:bob@192.0.2.7:5060\"><param pname=\"+sip.rendering\" pval=\"no\"/>\
        </target><cseq>3</cseq></local>\n  </dialog>\n <dialog id='2'><state> Early </state></dialog></dialog-info>\n";

    #[test]
    fn what_is_usual_is_read_as_it_is_read_thoroughly() {
        let read = document(USUAL).unwrap();
        assert_eq!(Document::read(USUAL.as_bytes()), Ok(read.clone()));
        let written = read.to_xml();
        assert_eq!(document(&written), Some(Document { version: 0, ..read }));
        let empty = "<dialog-info xmlns='urn:ietf:params:xml:ns:dialog-info'/>";
        assert_eq!(document(empty).map(Ok), Some(Document::read(empty.as_bytes())));
    }

    #[test]
    fn all_else_is_left_to_somebody_else() {
        for (from, to) in [
            ("<state", "<!-- a --><state"),
            ("Early", "&#69;arly"),
            ("Early", "held"),
            ("id='2'", ""),
            ("<dialog ", "<d:dialog "),
            ("<dialog ", "<dialog xmlns='urn:x' "),
            ("<local>", "<local xmlns:x='urn:x'>"),
            ("<cseq>", "<x/><cseq>"),
            ("version=\"0", "version=\"x0"),
            ("local-tag=\"1928\" ", "local-tag=\"1928\""),
            ("</dialog>", "</dialogue>"),
            ("<?xml ", "<!DOCTYPE a><?xml "),
            ("</dialog-info>", ""),
            ("</dialog-info>", "</dialog-info>x"),
            ("local-tag=", "7local-tag="),
            ("local-tag=", "id="),
            ("1928", "19\n28"),
            ("1928", "19<28"),
            (" <dialog id='2'>", "text<dialog id='2'>"),
        ] {
            assert!(USUAL.contains(from), "{from}");
            assert_eq!(document(&USUAL.replace(from, to)), None, "{to}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn what_is_read_at_all_is_read_alike(
            noise in proptest::sample::select(&["", "<", ">", "/", "'", "\"", " ", "\r\n", "&amp;", "=", "x", "-", "]]>", "é", "<state>", "</", " id='9'", "?>", "7", "\t"][..]),
            at in 0..USUAL.len(),
            taken in 0_usize..12,
        ) {
            let mut text = USUAL.as_bytes().to_vec();
            text.splice(at..at.saturating_add(taken).min(USUAL.len()), noise.bytes());
            let text = String::from_utf8(text).unwrap();
            if let Some(read) = document(&text) {
                prop_assert_eq!(Document::read(text.as_bytes()), Ok(read), "{}", text);
            }
        }
    }
}
