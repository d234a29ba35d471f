//! One XML element with all that is in it, as read from a stream.
//!
//! Made for speed: one buffer per element holds its name, attributes and text, namespaces known here are constants. It is read
//! only; stanzas are written with [`XmlWriter`](crate::xml::XmlWriter). Not kept: where between its children a text stood, and
//! attributes with a prefix other than `xml:lang`.
//!
//! ```
//! # use xmpp_gateway::xmpp::element::Element;
//! # use xmpp_gateway::xmpp::ns;
//! let message = Element::parse("<message from='romeo@example.net' xml:lang='en'><body>Hi &amp; bye</body></message>").unwrap();
//! assert!(message.is("message", ns::CLIENT));
//! assert_eq!(message.attribute("from"), Some("romeo@example.net"));
//! assert_eq!(message.lang(), Some("en"));
//! assert_eq!(message.child("body", ns::CLIENT).unwrap().text(), "Hi & bye");
//! ```

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use crate::xml::push_escaped;
use crate::xmpp::ns;

/// One element. Depth and size of its tree are bounded by the framer that made it.
#[derive(Clone, PartialEq, Eq)]
pub struct Element {
    namespace: Namespace,
    /// The local name, then name and value of each attribute, then the text, with nothing in between.
    content: String,
    name_end: usize,
    attributes: Vec<Attribute>,
    children: Vec<Element>,
}

/// Where in the content an attribute ends; it starts where the one before it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Attribute {
    name_end: usize,
    value_end: usize,
}

impl Element {
    /// Its name without prefix.
    pub fn name(&self) -> &str {
        self.content.get(..self.name_end).unwrap_or_default()
    }

    /// Its namespace; empty if it has none.
    pub fn ns(&self) -> &str {
        self.namespace.as_str()
    }

    /// Whether it has this name in this namespace.
    pub fn is(&self, name: &str, ns: &str) -> bool {
        self.name() == name && self.ns() == ns
    }

    /// The value of an attribute without prefix, or of `xml:lang`.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// Name and value of each attribute without prefix, and of `xml:lang`.
    pub fn attributes(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut start = self.name_end;
        self.attributes.iter().map_while(move |attribute| {
            let name = self.content.get(start..attribute.name_end)?;
            start = attribute.value_end;
            Some((name, self.content.get(attribute.name_end..attribute.value_end)?))
        })
    }

    /// The first child of this name and namespace.
    pub fn child(&self, name: &str, ns: &str) -> Option<&Element> {
        self.children.iter().find(|child| child.is(name, ns))
    }

    /// Its children, in order.
    pub fn children(&self) -> impl Iterator<Item = &Element> {
        self.children.iter()
    }

    /// All text directly in it, concatenated.
    pub fn text(&self) -> Cow<'_, str> {
        Cow::Borrowed(self.content.get(self.text_start()..).unwrap_or_default())
    }

    /// Its own `xml:lang`; that of its parents is not looked at.
    pub fn lang(&self) -> Option<&str> {
        self.attribute(LANG)
    }

    fn text_start(&self) -> usize {
        self.attributes.last().map_or(self.name_end, |attribute| attribute.value_end)
    }
}

/// What the tree builder does with it.
impl Element {
    /// An element of this name; its buffer holds so many bytes before it grows.
    pub(super) fn new(name: &str, capacity: usize) -> Self {
        let mut content = String::with_capacity(capacity);
        content.push_str(name);
        Self { namespace: Namespace::default(), name_end: content.len(), content, attributes: Vec::new(), children: Vec::new() }
    }

    /// Adds an attribute. There is no text yet.
    pub(super) fn push_attribute(&mut self, name: &str, value: &str) {
        if self.attributes.is_empty() {
            self.attributes.reserve_exact(USUAL_ATTRIBUTES);
        }
        self.content.push_str(name);
        let name_end = self.content.len();
        self.content.push_str(value);
        self.attributes.push(Attribute { name_end, value_end: self.content.len() });
    }

    pub(super) fn push_text(&mut self, text: &str) {
        self.content.push_str(text);
    }

    pub(super) fn push_child(&mut self, child: Element) {
        self.children.push(child);
    }

    /// Drops text and children and gives their memory back.
    pub(super) fn clear_content(&mut self) {
        self.content.truncate(self.text_start());
        self.content.shrink_to_fit();
        self.children = Vec::new();
    }

    pub(super) fn set_namespace(&mut self, namespace: Namespace) {
        self.namespace = namespace;
    }
}

/// As XML on one line, every element with its namespace: for logs and tests.
impl fmt::Debug for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut escaped = String::new();
        write!(f, "<{}", self.name())?;
        for (name, value) in [("xmlns", self.ns())].into_iter().chain(self.attributes()) {
            escaped.clear();
            push_escaped(&mut escaped, value);
            write!(f, " {name}='{escaped}'")?;
        }
        escaped.clear();
        push_escaped(&mut escaped, &self.text());
        write!(f, ">{escaped}")?;
        for child in &self.children {
            child.fmt(f)?;
        }
        write!(f, "</{}>", self.name())
    }
}

/// A namespace: a constant where it is known here, else shared by all elements under its declaration.
#[derive(Debug, Clone)]
pub(super) enum Namespace {
    Known(&'static str),
    Other(Arc<str>),
}

impl Namespace {
    pub(super) fn new(uri: &str) -> Self {
        ns::known(uri).map_or_else(|| Self::Other(Arc::from(uri)), Self::Known)
    }

    pub(super) fn as_str(&self) -> &str {
        match self {
            Self::Known(uri) => uri,
            Self::Other(uri) => uri,
        }
    }
}

impl Default for Namespace {
    fn default() -> Self {
        Self::Known("")
    }
}

impl PartialEq for Namespace {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Namespace {}

/// The name under which `xml:lang` is kept.
pub(super) const LANG: &str = "xml:lang";

/// A stanza has `from`, `to`, `id`, `type` and `xml:lang`.
const USUAL_ATTRIBUTES: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(xml: &str) -> Element {
        Element::parse(xml).expect("a stanza")
    }

    #[test]
    fn attributes_are_found_by_name_not_by_value() {
        let element = parse("<iq a='b' b='' c='a'/>");
        assert_eq!(element.attribute("b"), Some(""));
        assert_eq!(element.attribute("a"), Some("b"));
        assert_eq!(element.attribute(""), None);
        assert_eq!(element.attribute("iq"), None);
        assert_eq!(element.attributes().collect::<Vec<_>>(), [("a", "b"), ("b", ""), ("c", "a")]);
    }

    #[test]
    fn namespaces_are_inherited_and_overridden() {
        let element = parse("<message><x xmlns='urn:x' xmlns:y='urn:y'><y:z/><n xmlns=''/></x><x/></message>");
        let x = element.child("x", "urn:x").unwrap();
        assert!(x.child("z", "urn:y").is_some());
        assert!(x.child("n", "").is_some());
        assert!(element.child("x", ns::CLIENT).is_some());
    }

    #[test]
    fn direct_text_is_concatenated_and_that_of_children_is_not() {
        let element = parse("<message>a<b>no</b>&lt;<![CDATA[<c>]]></message>");
        assert_eq!(element.text(), "a<<c>");
    }

    #[test]
    fn only_xml_lang_keeps_its_prefix() {
        let element = parse("<message xml:lang='de' xml:space='preserve' xmlns:p='urn:p' p:id='1' id='2'/>");
        assert_eq!(element.lang(), Some("de"));
        assert_eq!(element.attributes().count(), 2);
    }

    #[test]
    fn its_debug_form_is_xml() {
        let element = parse("<message to='a&apos;b'><body>x &lt; y</body></message>");
        let body = "<body xmlns='jabber:client'>x &lt; y</body>";
        assert_eq!(format!("{element:?}"), format!("<message xmlns='jabber:client' to='a&apos;b'>{body}</message>"));
    }
}
