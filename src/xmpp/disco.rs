//! Service discovery (XEP-0030): how an entity says what it is and what it can do.
//!
//! Here are the two answers; who gives which, and to whom, the gateway decides. There are no items yet: the gateway does not list its
//! users.

use crate::xml::XmlWriter;
use crate::xmpp::ns;

/// What an entity is, by the registry of service discovery identities.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// The kind of entity.
    pub category: &'static str,
    /// The kind within its category.
    pub identity_type: &'static str,
    /// The same for humans.
    pub name: &'static str,
}

/// The answer to disco#info, and with it what the hash of entity capabilities is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Info {
    identity: Identity,
    features: Vec<&'static str>,
}

impl Info {
    /// An entity with these features; their order does not matter.
    pub fn new(identity: Identity, features: impl IntoIterator<Item = &'static str>) -> Self {
        let mut features: Vec<_> = features.into_iter().collect();
        features.sort_unstable();
        features.dedup();
        Self { identity, features }
    }

    /// What it is.
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// What it can do: once each, in the order of their octets (i;octet, RFC 4790 §9.3).
    pub fn features(&self) -> &[&'static str] {
        &self.features
    }

    /// `<query/>`, at the node that was asked for, if any.
    pub fn to_xml(&self, node: Option<&str>) -> String {
        let Identity { category, identity_type, name } = self.identity;
        let mut xml = XmlWriter::new();
        xml.open("query").attribute("xmlns", ns::DISCO_INFO).attribute_if("node", node);
        xml.open("identity").attribute("category", category).attribute("type", identity_type).attribute("name", name).close();
        for feature in &self.features {
            xml.open("feature").attribute("var", feature).close();
        }
        xml.finish()
    }
}

/// The `<query/>` of an entity that has no items, at the node that was asked for, if any.
pub fn no_items(node: Option<&str>) -> String {
    let mut xml = XmlWriter::new();
    xml.open("query").attribute("xmlns", ns::DISCO_ITEMS).attribute_if("node", node);
    xml.finish()
}
