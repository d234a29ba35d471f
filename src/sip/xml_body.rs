//! Reading the XML bodies of SIP requests: namespace-aware and bounded in bytes and depth.
//!
//! Comments, processing instructions and unknown elements are skipped, but have to be XML; a DTD is refused, so no entity but the five of
//! XML exists.
//! The reader keeps no tree: a caller asks for the next [`Node`] and skips what it does not know.

mod error;
mod well_formed;

use std::borrow::Cow;

use memchr::memmem;
use quick_xml::Reader;
use quick_xml::XmlVersion;
use quick_xml::events::BytesCData;
use quick_xml::events::BytesRef;
use quick_xml::events::BytesStart;
use quick_xml::events::BytesText;
use quick_xml::events::Event;
use quick_xml::name::PrefixDeclaration;

use crate::xml::is_legal;
use well_formed::check_tag;
use well_formed::check_text;
use well_formed::legal;
use well_formed::resolve;

pub use self::error::BodyError;

/// The longest body that is parsed: the longest that fits a UDP datagram.
pub(super) const MAX_BODY: usize = 65_535;

/// The deepest nesting that is parsed; PIDF with all its extensions needs 8.
pub(super) const MAX_DEPTH: usize = 16;

/// The most namespace declarations that are in force at one time.
const MAX_DECLARATIONS: usize = 64;

/// The namespaces that SIP bodies use here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ns {
    /// PIDF (RFC 3863), or its draft.
    Pidf,
    /// Persons and devices (RFC 4479).
    DataModel,
    /// RPID (RFC 4480), or one of its drafts.
    Rpid,
    /// Contact information for presence (RFC 4482).
    Cipid,
    /// `jabber:client`, for `<show/>` (RFC 8048 §6.2).
    Client,
    /// The status extension of Blink and SylkServer.
    AgProjects,
    /// Watcher information (RFC 3858).
    Watcherinfo,
    /// Dialog information (RFC 4235).
    DialogInfo,
    /// Disposition notifications (RFC 5438).
    Imdn,
    /// Any other, or none.
    Other,
}

impl Ns {
    fn new(name: &str) -> Self {
        match name {
            "urn:ietf:params:xml:ns:pidf" | "urn:ietf:params:xml:ns:cpim-pidf" => Self::Pidf,
            "urn:ietf:params:xml:ns:pidf:data-model" => Self::DataModel,
            "urn:ietf:params:xml:ns:pidf:rpid"
            | "urn:ietf:params:xml:ns:pidf:rpid-person"
            | "urn:ietf:params:xml:ns:pidf:rpid-status"
            | "urn:ietf:params:xml:ns:pidf:rpid-tuple"
            | "urn:ietf:params:xml:ns:pidf:status:rpid"
            | "urn:ietf:params:xml:ns:pidf:status:rpid-status" => Self::Rpid,
            "urn:ietf:params:xml:ns:pidf:cipid" => Self::Cipid,
            "jabber:client" => Self::Client,
            "urn:ag-projects:xml:ns:pidf" => Self::AgProjects,
            "urn:ietf:params:xml:ns:watcherinfo" => Self::Watcherinfo,
            "urn:ietf:params:xml:ns:dialog-info" => Self::DialogInfo,
            super::imdn::NS => Self::Imdn,
            _ => Self::Other,
        }
    }
}

/// The characters of a body that is not too long, if XML allows them all.
pub(super) fn text(body: &[u8]) -> Result<&str, BodyError> {
    if body.len() > MAX_BODY {
        return Err(BodyError::TooLong);
    }
    let text = std::str::from_utf8(body).map_err(|_| BodyError::Encoding)?;
    // quick-xml lets pass what XML forbids, and what is forbidden here would be forbidden in the stanza too.
    if !is_legal(text) {
        return Err(BodyError::Malformed);
    }
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

/// What comes next in the body.
#[derive(Debug)]
pub(super) enum Node<'a> {
    /// An element starts; an empty one ends at once.
    Start(Start<'a>),
    /// A piece of text.
    Text(Piece<'a>),
    /// The innermost element ends.
    End,
}

/// A piece of text as written: most stand between elements, and nobody wants them.
#[derive(Debug)]
pub(super) enum Piece<'a> {
    Text(BytesText<'a>),
    Section(BytesCData<'a>),
    Reference(BytesRef<'a>),
}

impl Piece<'_> {
    /// Its characters, line ends normalised (XML 1.0 §2.11), references resolved.
    fn characters(&self) -> Result<Cow<'_, str>, BodyError> {
        match self {
            Self::Text(text) => Ok(text.xml10_content()),
            Self::Section(section) => Ok(section.xml10_content()),
            Self::Reference(reference) => resolve(reference).and_then(legal),
        }
    }
}

/// The start of an element.
#[derive(Debug)]
pub(super) struct Start<'a> {
    pub(super) ns: Ns,
    /// The name without its prefix ends the name as written.
    local_length: usize,
    tag: BytesStart<'a>,
}

impl Start<'_> {
    pub(super) fn name(&self) -> &str {
        let name = self.tag.name().into_inner();
        name.len().checked_sub(self.local_length).and_then(|at| name.get(at..)).unwrap_or_default()
    }

    /// The value of an attribute, by its name as written: `id`, `xml:lang`.
    pub(super) fn attribute(&self, name: &str) -> Result<Option<String>, BodyError> {
        for attribute in self.tag.attributes().with_checks(false) {
            let attribute = attribute.map_err(|_| BodyError::Malformed)?;
            if attribute.key.into_inner() == name {
                let value = attribute.normalized_value(XmlVersion::Implicit1_0).map_err(|_| BodyError::Malformed)?;
                return legal(value).map(|value| Some(value.into_owned()));
            }
        }
        Ok(None)
    }

    /// The language of the element, if it has one that can be written as an attribute elsewhere.
    pub(super) fn language(&self) -> Result<Option<String>, BodyError> {
        Ok(self.attribute("xml:lang")?.filter(|language| super::header::is_language(language)))
    }
}

/// A body being read.
pub(super) struct XmlBody<'a> {
    reader: Reader<&'a [u8]>,
    depth: usize,
    /// The innermost element was empty: its end comes next.
    at_empty: bool,
    /// Namespace declarations in force, innermost last.
    scope: Vec<Declaration>,
}

struct Declaration {
    depth: usize,
    /// Empty for the default namespace.
    prefix: String,
    ns: Ns,
}

impl<'a> XmlBody<'a> {
    /// Starts reading; returns the root element too.
    pub(super) fn new(body: &'a [u8]) -> Result<(Self, Start<'a>), BodyError> {
        let text = text(body)?;
        // It may stand here only, and anywhere else it is an event.
        let text = match text.strip_prefix("<?xml").map(|rest| memmem::find(rest.as_bytes(), b"?>").map(|at| (rest, at))) {
            Some(Some((rest, at))) => rest.get(at.saturating_add(2)..).unwrap_or_default(),
            Some(None) => return Err(BodyError::Truncated),
            None => text,
        };
        let mut reader = Reader::from_str(text);
        reader.config_mut().check_comments = true;
        let mut body = Self { reader, depth: 0, at_empty: false, scope: Vec::new() };
        loop {
            match body.next()? {
                Node::Start(root) => return Ok((body, root)),
                Node::Text(text) if text.characters()?.trim_ascii().is_empty() => {}
                Node::Text(_) | Node::End => return Err(BodyError::Malformed),
            }
        }
    }

    pub(super) fn next(&mut self) -> Result<Node<'a>, BodyError> {
        if self.at_empty {
            self.at_empty = false;
            return self.end();
        }
        loop {
            match self.reader.read_event().map_err(|_| BodyError::Malformed)? {
                Event::Start(tag) => return self.start(tag),
                Event::Empty(tag) => {
                    self.at_empty = true;
                    return self.start(tag);
                }
                Event::End(_) => return self.end(),
                Event::Text(text) => {
                    check_text(&text)?;
                    return Ok(Node::Text(Piece::Text(text)));
                }
                Event::CData(section) => return Ok(Node::Text(Piece::Section(section))),
                Event::GeneralRef(reference) => return Ok(Node::Text(Piece::Reference(reference))),
                Event::Comment(_) | Event::PI(_) => {}
                Event::Decl(_) => return Err(BodyError::Malformed),
                Event::DocType(_) => return Err(BodyError::Doctype),
                Event::Eof => return Err(BodyError::Truncated),
            }
        }
    }

    fn start(&mut self, tag: BytesStart<'a>) -> Result<Node<'a>, BodyError> {
        self.deeper()?;
        check_tag(&tag)?;
        let attributes = tag.attributes_raw();
        if !attributes.is_empty() && memmem::find(attributes.as_bytes(), b"xmlns").is_some() {
            self.declare(&tag)?;
        }
        let (name, prefix) = tag.name().decompose();
        let local_length = name.into_inner().len();
        let ns = self.resolve(prefix.map_or("", |prefix| prefix.into_inner()))?;
        Ok(Node::Start(Start { ns, local_length, tag }))
    }

    fn end(&mut self) -> Result<Node<'a>, BodyError> {
        while self.scope.last().is_some_and(|declaration| declaration.depth >= self.depth) {
            self.scope.pop();
        }
        self.depth = self.depth.checked_sub(1).ok_or(BodyError::Malformed)?;
        if self.depth == 0 {
            self.nothing_follows()?;
        }
        Ok(Node::End)
    }

    /// Behind the root element there is no other, and no text (XML 1.0 §2.1).
    fn nothing_follows(&mut self) -> Result<(), BodyError> {
        loop {
            match self.reader.read_event().map_err(|_| BodyError::Malformed)? {
                Event::Text(text) if text.trim_ascii().is_empty() => {}
                Event::Comment(_) | Event::PI(_) => {}
                Event::Eof => return Ok(()),
                Event::DocType(_) => return Err(BodyError::Doctype),
                Event::Text(_)
                | Event::Start(_)
                | Event::End(_)
                | Event::Empty(_)
                | Event::CData(_)
                | Event::GeneralRef(_)
                | Event::Decl(_) => return Err(BodyError::Malformed),
            }
        }
    }

    fn declare(&mut self, tag: &BytesStart<'_>) -> Result<(), BodyError> {
        for attribute in tag.attributes().with_checks(false) {
            let attribute = attribute.map_err(|_| BodyError::Malformed)?;
            let prefix = match attribute.key.as_namespace_binding() {
                Some(PrefixDeclaration::Default) => "",
                Some(PrefixDeclaration::Named(prefix)) => prefix,
                None => continue,
            };
            if self.scope.len() >= MAX_DECLARATIONS {
                return Err(BodyError::TooMany);
            }
            self.scope.push(Declaration { depth: self.depth, prefix: prefix.to_owned(), ns: Ns::new(&attribute.value) });
        }
        Ok(())
    }

    fn resolve(&self, prefix: &str) -> Result<Ns, BodyError> {
        match self.scope.iter().rev().find(|declaration| declaration.prefix == prefix) {
            Some(declaration) => Ok(declaration.ns),
            None if prefix.is_empty() => Ok(Ns::Other),
            None => Err(BodyError::Malformed),
        }
    }

    /// The next child element of the element that is open, or `None` at its end. Text between them is passed over.
    pub(super) fn child(&mut self) -> Result<Option<Start<'a>>, BodyError> {
        loop {
            match self.next()? {
                Node::Start(start) => return Ok(Some(start)),
                Node::Text(_) => {}
                Node::End => return Ok(None),
            }
        }
    }

    /// The text of the element that just started, up to its end; child elements in it are passed over.
    pub(super) fn text(&mut self) -> Result<String, BodyError> {
        let mut content = String::new();
        loop {
            match self.next()? {
                Node::Start(_) => self.skip()?,
                Node::Text(text) => content.push_str(&text.characters()?),
                Node::End => return Ok(content),
            }
        }
    }

    /// Passes over the rest of the element that just started. Namespaces do not matter in there.
    pub(super) fn skip(&mut self) -> Result<(), BodyError> {
        let outside = self.depth.saturating_sub(1);
        if self.at_empty {
            self.at_empty = false;
            self.end()?;
        }
        while self.depth > outside {
            match self.reader.read_event().map_err(|_| BodyError::Malformed)? {
                Event::Start(tag) => {
                    self.deeper()?;
                    check_tag(&tag)?;
                }
                Event::End(_) => drop(self.end()?),
                Event::Empty(tag) => {
                    self.deeper()?;
                    check_tag(&tag)?;
                    self.end()?;
                }
                Event::Text(text) => check_text(&text)?,
                Event::GeneralRef(reference) => drop(legal(resolve(&reference)?)?),
                Event::CData(_) | Event::Comment(_) | Event::PI(_) => {}
                Event::Decl(_) => return Err(BodyError::Malformed),
                Event::DocType(_) => return Err(BodyError::Doctype),
                Event::Eof => return Err(BodyError::Truncated),
            }
        }
        Ok(())
    }

    fn deeper(&mut self) -> Result<(), BodyError> {
        self.depth = self.depth.saturating_add(1);
        if self.depth > MAX_DEPTH { Err(BodyError::TooDeep) } else { Ok(()) }
    }
}
