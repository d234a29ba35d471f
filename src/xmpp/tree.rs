//! Builds the element of one stanza from its tags and texts, and resolves namespaces on the way.

use std::mem;

use crate::xml::attributes::Attributes;
use crate::xml::attributes::Name;
use crate::xmpp::element::Element;
use crate::xmpp::element::LANG;
use crate::xmpp::element::Namespace;
use crate::xmpp::fault::Fault;
use crate::xmpp::ns;
use crate::xmpp::tag;
use crate::xmpp::tag::StartTag;

/// The stream's root and the stanza under construction.
#[derive(Debug)]
pub(super) struct Tree {
    /// The deepest level of a stanza; the stanza itself is level 1.
    depth_limit: usize,
    /// Elements that are open, outermost first; the stream's root is not among them.
    open: Vec<Element>,
    /// Names of the root and of the open elements as written, one after the other.
    written: String,
    /// Where in `written` each name starts.
    written_at: Vec<usize>,
    /// Length of the root's name in `written`.
    root_written: usize,
    scope: Scope,
    /// Elements of this stanza so far.
    elements: usize,
}

/// What a tag completed.
#[derive(Debug)]
pub(super) enum Completed {
    /// Nothing yet.
    Nothing,
    /// A stanza.
    Stanza(Element),
    /// The stream.
    Root,
}

impl Tree {
    /// A tree that waits for its root.
    pub(super) fn new(depth_limit: usize) -> Self {
        Self {
            depth_limit,
            open: Vec::new(),
            written: String::new(),
            written_at: Vec::new(),
            root_written: 0,
            scope: Scope::default(),
            elements: 0,
        }
    }

    /// Takes the start tag of the stream. Its namespace declarations hold for all stanzas.
    pub(super) fn root(&mut self, tag: &StartTag<'_>) -> Result<Element, Fault> {
        let root = self.element(tag, 0)?;
        self.push_written(tag.written);
        self.root_written = tag.written.len();
        Ok(root)
    }

    /// Takes a start tag of a stanza.
    pub(super) fn start(&mut self, tag: &StartTag<'_>) -> Result<Completed, Fault> {
        let level = self.open.len().saturating_add(1);
        if level > self.depth_limit {
            return Err(Fault::Depth);
        }
        self.elements = self.elements.saturating_add(1);
        if self.elements > ELEMENTS {
            return Err(Fault::Elements);
        }
        let element = self.element(tag, level)?;
        if level == 1 && element.is("stream", ns::STREAMS) {
            return Err(Fault::Format);
        }
        if tag.is_empty {
            self.scope.leave(level);
            return Ok(self.complete(element));
        }
        self.push_written(tag.written);
        self.open.push(element);
        Ok(Completed::Nothing)
    }

    /// Takes an end tag.
    pub(super) fn end(&mut self, written: &str) -> Result<Completed, Fault> {
        let start = self.written_at.pop().ok_or(Fault::NotWellFormed)?;
        if self.written.get(start..) != Some(written) {
            return Err(Fault::NotWellFormed);
        }
        self.written.truncate(start);
        let level = self.open.len();
        let Some(element) = self.open.pop() else { return Ok(Completed::Root) };
        self.scope.leave(level);
        Ok(self.complete(element))
    }

    /// Gives up the stanza under construction, even if only its declarations are known. `Some`: the stanza with nothing inside, and
    /// how many of its elements were open.
    pub(super) fn abandon(&mut self) -> Option<(Element, usize)> {
        let open = mem::take(&mut self.open);
        let count = open.len();
        self.written_at.truncate(1);
        self.written.truncate(self.root_written);
        self.written.shrink_to(KEPT);
        self.scope.leave(1);
        self.elements = 0;
        let mut stanza = open.into_iter().next()?;
        stanza.clear_content();
        Some((stanza, count))
    }

    /// A stanza by its start tag alone, with no more attributes than a reply needs: for one that has too many.
    pub(super) fn addresses(&self, tag: &StartTag<'_>) -> Result<Element, Fault> {
        let mut stanza = Element::new(tag.name.local, 0);
        let mut namespace = None;
        for attribute in tag.attributes.clone() {
            let (name, value) = attribute?;
            match (name.prefix, name.local) {
                ("", local @ ("from" | "to" | "id" | "type")) => push_once(&mut stanza, local, &tag::attribute_value(value)?)?,
                ("", "xmlns") if tag.name.prefix.is_empty() => namespace = Some(Namespace::new(&tag::attribute_value(value)?)),
                ("xmlns", prefix) if prefix == tag.name.prefix => namespace = Some(Namespace::new(&tag::attribute_value(value)?)),
                _ => {}
            }
        }
        stanza.set_namespace(namespace.map_or_else(|| self.scope.resolve(tag.name.prefix).cloned(), Ok)?);
        Ok(stanza)
    }

    /// Takes text. Outside of a stanza there is no place for it.
    pub(super) fn text(&mut self, text: &str) -> Result<(), Fault> {
        self.open.last_mut().ok_or(Fault::Format)?.push_text(text);
        Ok(())
    }

    /// The default namespace of the root.
    pub(super) fn content_ns(&self) -> &str {
        self.scope.resolve("").map_or("", Namespace::as_str)
    }

    /// Whether a stanza is under construction.
    pub(super) fn is_in_stanza(&self) -> bool {
        !self.open.is_empty()
    }

    /// Hands an element that has ended to its parent, if it has one.
    fn complete(&mut self, element: Element) -> Completed {
        if let Some(parent) = self.open.last_mut() {
            parent.push_child(element);
            return Completed::Nothing;
        }
        self.elements = 0;
        if self.written.capacity() > KEPT {
            self.written.shrink_to(KEPT);
        }
        Completed::Stanza(element)
    }

    fn element(&mut self, tag: &StartTag<'_>, level: usize) -> Result<Element, Fault> {
        // As written, an attribute is longer than as kept, so the buffer grows for text only.
        let room = if tag.is_empty { 0 } else { TEXT_ROOM };
        let mut element = Element::new(tag.name.local, tag.bytes().saturating_add(room));
        let mut prefixed = Prefixed::None;
        for (number, attribute) in tag.attributes.clone().enumerate() {
            if number >= ATTRIBUTES {
                return Err(Fault::Attributes);
            }
            let (name, value) = attribute?;
            let value = tag::attribute_value(value)?;
            match (name.prefix, name.local) {
                ("", "xmlns") => self.scope.declare("", &value, level)?,
                ("xmlns", prefix) => self.scope.declare(prefix, &value, level)?,
                ("", local) => push_once(&mut element, local, &value)?,
                ("xml", "lang") => push_once(&mut element, LANG, &value)?,
                _ => prefixed = Prefixed::Some,
            }
        }
        // Only now are all declarations of this very tag known.
        if prefixed == Prefixed::Some {
            self.check_prefixed(tag.attributes.clone())?;
        }
        element.set_namespace(self.scope.resolve(tag.name.prefix)?.clone());
        Ok(element)
    }

    /// Attributes with a prefix are not kept, but have to be declared and different (Namespaces in XML §6.3).
    fn check_prefixed(&self, attributes: Attributes<'_>) -> Result<(), Fault> {
        let mut seen: Vec<(&str, &str)> = Vec::new();
        for attribute in attributes {
            let (Name { prefix, local }, _) = attribute?;
            if matches!(prefix, "" | "xmlns") {
                continue;
            }
            let name = (self.scope.resolve(prefix)?.as_str(), local);
            if seen.contains(&name) {
                return Err(Fault::NotWellFormed);
            }
            seen.push(name);
        }
        Ok(())
    }

    fn push_written(&mut self, written: &str) {
        self.written_at.push(self.written.len());
        self.written.push_str(written);
    }
}

/// Whether a tag has attributes with a prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Prefixed {
    None,
    Some,
}

fn push_once(element: &mut Element, name: &str, value: &str) -> Result<(), Fault> {
    if element.attribute(name).is_some() {
        return Err(Fault::NotWellFormed);
    }
    element.push_attribute(name, value);
    Ok(())
}

/// The namespace declarations in force, innermost last.
#[derive(Debug)]
struct Scope {
    declarations: Vec<Declaration>,
    /// What holds where nothing is declared.
    none: Namespace,
    xml: Namespace,
}

#[derive(Debug)]
struct Declaration {
    /// Empty for the default namespace.
    prefix: Box<str>,
    namespace: Namespace,
    /// The level of its element; 0 is the stream's root.
    level: usize,
}

impl Scope {
    /// Adds a declaration (Namespaces in XML §3: `xml` and `xmlns` are bound for good, a prefix cannot be unbound).
    fn declare(&mut self, prefix: &str, uri: &str, level: usize) -> Result<(), Fault> {
        let is_reserved = match prefix {
            "xmlns" => true,
            "xml" => uri != ns::XML,
            "" => matches!(uri, ns::XML | ns::XMLNS),
            _ => matches!(uri, "" | ns::XML | ns::XMLNS),
        };
        let mut same_tag = self.declarations.iter().rev().take_while(|declaration| declaration.level == level);
        if is_reserved || same_tag.any(|declaration| *declaration.prefix == *prefix) {
            return Err(Fault::NotWellFormed);
        }
        if self.declarations.len() >= DECLARATIONS {
            return Err(Fault::Declarations);
        }
        self.declarations.push(Declaration { prefix: Box::from(prefix), namespace: Namespace::new(uri), level });
        Ok(())
    }

    fn resolve(&self, prefix: &str) -> Result<&Namespace, Fault> {
        match self.declarations.iter().rev().find(|declaration| *declaration.prefix == *prefix) {
            Some(declaration) => Ok(&declaration.namespace),
            None if prefix.is_empty() => Ok(&self.none),
            None if prefix == "xml" => Ok(&self.xml),
            None => Err(Fault::Prefix),
        }
    }

    /// Ends the declarations of an element.
    fn leave(&mut self, level: usize) {
        while self.declarations.last().is_some_and(|declaration| declaration.level >= level) {
            self.declarations.pop();
        }
    }
}

impl Default for Scope {
    fn default() -> Self {
        Self { declarations: Vec::new(), none: Namespace::default(), xml: Namespace::Known(ns::XML) }
    }
}

/// Attributes of one element, declarations included.
const ATTRIBUTES: usize = 64;
/// Elements of one stanza: bounds the memory of a stanza of many tiny elements to about 3 MiB.
const ELEMENTS: usize = 8192;
/// Declarations in force at once: bounds the search for a prefix.
const DECLARATIONS: usize = 128;
/// Room for the text of an element.
const TEXT_ROOM: usize = 48;
/// What a buffer keeps after a stanza.
const KEPT: usize = 1024;
