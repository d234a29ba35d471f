//! SIP URI to JID and back (RFC 7247 §6, XEP-0106).
//!
//! Every address that [`Addresses`] hands out is canonical, and translating a canonical address there and back gives it again.
//! What could not come back, because two addresses would become one, is refused. So are a `sips:` URI (RFC 7247 §8) and a temporary
//! GRUU; a password, a port, headers and all URI parameters but `gr` and `user=phone` are dropped. A `tel:` URI names a user only
//! where the operator named the domain of telephone numbers. Where the operator keeps a [`map`] of users, it goes before the scheme,
//! and the promise holds with it.
//!
//! ```
//! use xmpp_gateway::address::{Addresses, Scheme};
//!
//! let addresses = Addresses::new(Scheme::Transparent).unwrap();
//! let jid = addresses.sip_to_jid(b"sip:o'malley@Example.net:5070;gr=home").unwrap();
//! assert_eq!(jid.as_str(), r"o\27malley@example.net/home");
//! assert_eq!(addresses.jid_to_sip(&jid).unwrap(), "sip:o'malley@example.net");
//! assert_eq!(addresses.jid_to_gruu(&jid).unwrap(), "sip:o'malley@example.net;gr=home");
//! ```

mod domain;
mod error;
mod escape;
pub mod map;
mod peers;
mod phone;
mod scheme;
mod uri;

use std::borrow::Cow;

use jid::BareJid;
use jid::Jid;
use jid::NodePart;
use jid::NodeRef;
use jid::ResourcePart;

pub use self::error::AddressError;
pub(crate) use self::escape::percent_decode;
pub(crate) use self::escape::percent_encode_iri_part;
use self::map::Map;
use self::map::Spelling;
pub use self::peers::Domains;
pub use self::peers::PeerDomains;
pub use self::scheme::DomainPair;
pub use self::scheme::Scheme;
pub use self::scheme::SchemeError;

/// The longest SIP URI that is looked at: three parts of a JID (RFC 7622 §3), each octet of them written as `%hh`.
pub const MAX_URI: usize = 3 * 3 * MAX_PART;

/// The longest part of a JID (RFC 7622 §3.2 to §3.4).
pub const MAX_PART: usize = 1023;

/// A domain as DNS has it, with A-labels; an IPv6 address between brackets.
pub(crate) fn ascii_domain(domain: &str) -> Option<Cow<'_, str>> {
    domain::canonical(domain).ok()
}

/// Translates addresses by the scheme that the operator chose.
#[derive(Debug, Clone)]
pub struct Addresses {
    scheme: scheme::Compiled,
    /// The XMPP domains that we speak for, in their canonical SIP form; none: any.
    own: Vec<String>,
    /// Users whose address the operator chose.
    map: Option<Map>,
    /// The XMPP domains that we speak with.
    peers: PeerDomains,
    /// The SIP domain whose users are telephone numbers, in its canonical form.
    tel: Option<String>,
}

impl Addresses {
    /// Checks the scheme and prepares it.
    pub fn new(scheme: Scheme) -> Result<Self, SchemeError> {
        Ok(Self { scheme: scheme::Compiled::new(scheme)?, own: Vec::new(), map: None, peers: PeerDomains::default(), tel: None })
    }

    /// The same for one more component: all SIP users, and they alone, are in the XMPP domains of the components.
    pub fn of_component(mut self, domain: &str) -> Result<Self, AddressError> {
        self.own.push(domain::canonical(domain)?.into_owned());
        Ok(self)
    }

    /// How many components there are.
    pub fn components(&self) -> usize {
        self.own.len()
    }

    /// Which component speaks for this XMPP domain, counted from the first that was given.
    pub fn component_of(&self, domain: &str) -> Option<usize> {
        if self.own.is_empty() {
            return None;
        }
        let domain = domain::from_xmpp(domain).ok()?;
        self.own.iter().position(|own| *own == domain)
    }

    /// The same with a map in front of the scheme.
    pub fn with_map(self, map: Map) -> Self {
        Self { map: Some(map), ..self }
    }

    /// Whether there is a map: names may change.
    pub(crate) fn is_mapped(&self) -> bool {
        self.map.is_some()
    }

    /// Goes up when the map changes; addresses that were translated before may have other counterparts now.
    pub fn generation(&self) -> u64 {
        self.map.as_ref().map_or(0, Map::generation)
    }

    /// The same for these XMPP domains alone.
    pub fn with_peers(self, peers: PeerDomains) -> Self {
        Self { peers, ..self }
    }

    /// The same where telephone numbers are users of this SIP domain: `tel:` URIs are theirs too.
    pub fn with_tel_domain(self, domain: &str) -> Result<Self, AddressError> {
        Ok(Self { tel: Some(domain::canonical(domain)?.into_owned()), ..self })
    }

    /// [`Self::sip_to_jid`] for the user in whose name a stanza is sent. An XMPP server ends the stream of a component that speaks for
    /// another domain (RFC 6120 §4.9.3.9), so no SIP user may bring us to that by what stands in From. A name that nodeprep makes
    /// another one of is refused: what XMPP sends back to it would reach somebody else.
    pub fn sip_user_to_jid(&self, uri: &[u8]) -> Result<Jid, AddressError> {
        let jid = self.prepared(uri, Change::CaseOnly, Spelling::Canonical)?;
        if self.own.is_empty() || self.is_sip_user(&jid) { Ok(jid) } else { Err(AddressError::Foreign) }
    }

    /// [`Self::sip_to_jid`] for the user who gets a stanza. One for a SIP user would come straight back to us; one of a domain that the
    /// operator does not allow gets none.
    pub fn xmpp_user_to_jid(&self, uri: &[u8]) -> Result<Jid, AddressError> {
        let jid = self.sip_to_jid(uri)?;
        if self.is_sip_user(&jid) {
            return Err(AddressError::Loop);
        }
        if self.is_allowed_peer(&jid) { Ok(jid) } else { Err(AddressError::Denied) }
    }

    /// Whether this is the JID of a SIP user.
    pub fn is_sip_user(&self, jid: &Jid) -> bool {
        self.is_own(jid.domain().as_str())
    }

    /// The same for text that is no JID to us.
    pub fn is_sip_address(&self, address: &str) -> bool {
        let bare = address.split('/').next().unwrap_or_default();
        self.is_own(bare.rsplit('@').next().unwrap_or_default())
    }

    /// Whether the operator lets us speak with the domain of this JID.
    pub fn is_allowed_peer(&self, jid: &Jid) -> bool {
        self.peers.is_all() || domain::from_xmpp(jid.domain().as_str()).is_ok_and(|domain| self.peers.has(&domain))
    }

    fn is_own(&self, domain: &str) -> bool {
        self.component_of(domain).is_some()
    }

    /// The JID of a user that a URI names (RFC 7247 §6.3). It has a resource if the URI has a `gr` parameter.
    ///
    /// A temporary GRUU (RFC 5627 §3.1.2), whose `gr` has no value, is refused: it was made so that nobody knows whose it is, and it
    /// ends with a registration, while a JID is kept in rosters.
    pub fn sip_to_jid(&self, uri: &[u8]) -> Result<Jid, AddressError> {
        self.prepared(uri, Change::Any, Spelling::Canonical)
    }

    /// [`Self::sip_to_jid`] for an address of a dialog, which has the names of the time when it began: the map may have given this user
    /// another since. Who asks has to look for the names that the dialog was known by. A dialog of ours has canonical names, so one
    /// that nodeprep makes another name of is refused.
    pub(crate) fn sip_to_jid_loosely(&self, uri: &[u8]) -> Result<Jid, AddressError> {
        self.prepared(uri, Change::CaseOnly, Spelling::Any)
    }

    fn prepared(&self, uri: &[u8], change: Change, spelling: Spelling) -> Result<Jid, AddressError> {
        let parts = match uri::Uri::new(uri)? {
            uri::Uri::User(parts) => parts,
            uri::Uri::Number(number) => {
                let number = escape::percent_decode(number).ok_or(AddressError::User)?;
                let host = self.tel.as_deref().ok_or(AddressError::Tel)?;
                let number = phone::global(&number).ok_or(AddressError::Tel)?;
                return self.bare(&number, host, change, spelling).map(Jid::from);
            }
        };
        let mut user = escape::percent_decode(parts.user).ok_or(AddressError::User)?;
        if parts.is_phone
            && let Some(Cow::Owned(number)) = phone::global(&user)
        {
            user = Cow::Owned(number);
        }
        let bare = self.bare(&user, &domain::from_sip(parts.host)?, change, spelling)?;
        let Some(gr) = parts.gr else { return Ok(bare.into()) };
        let resource = escape::percent_decode(gr).ok_or(AddressError::Resource)?;
        let resource = ResourcePart::new(&resource)?;
        settled_resource(resource.as_str())?;
        Ok(bare.with_resource(&resource).into())
    }

    fn bare(&self, user: &str, host: &str, change: Change, spelling: Spelling) -> Result<BareJid, AddressError> {
        let (node, domain) = match &self.map {
            Some(map) => map.to_xmpp(&self.scheme, user, host, spelling)?,
            None => self.scheme.to_xmpp(user, host)?,
        };
        if matches!(node, Cow::Owned(_)) && !user.is_ascii() {
            // Characters that stringprep maps to nothing would leave a separator and a domain, which is nobody.
            node_of(user, change)?;
        }
        let domain = domain::to_xmpp(&domain)?;
        Ok(BareJid::from_parts(Some(&*node_of(&node, change)?), &domain))
    }

    /// The SIP URI of the user a JID names (RFC 7247 §6.4), without the resource.
    pub fn jid_to_sip(&self, jid: &Jid) -> Result<String, AddressError> {
        self.uri_of(jid, Phone::Unsaid, Spelling::Canonical)
    }

    /// [`Self::jid_to_sip`] for a JID that somebody may still hold from before the map gave its user another.
    pub(crate) fn jid_to_sip_loosely(&self, jid: &Jid) -> Result<String, AddressError> {
        self.uri_of(jid, Phone::Unsaid, Spelling::Any)
    }

    fn uri_of(&self, jid: &Jid, phone: Phone, spelling: Spelling) -> Result<String, AddressError> {
        let node = jid.node().ok_or(AddressError::NoUser)?;
        let user = user_of(node)?;
        let domain = domain::from_xmpp(jid.domain().as_str())?;
        let (user, host) = match &self.map {
            Some(map) => map.to_sip(&self.scheme, &user, &domain, spelling)?,
            None => self.scheme.to_sip(&user, &domain)?,
        };
        let mut uri = String::with_capacity(user.len().saturating_add(host.len()).saturating_add(8));
        uri.push_str("sip:");
        escape::percent_encode(&user, escape::USER, &mut uri);
        uri.push('@');
        uri.push_str(&host);
        if phone == Phone::Said && self.tel.as_deref() == Some(&*host) && phone::is_global(&user) {
            uri.push_str(";user=phone");
        }
        Ok(uri)
    }

    /// The SIP URI of a JID with its resource, if it has one, as `gr` (RFC 7247 §6.4 step 8).
    pub fn jid_to_gruu(&self, jid: &Jid) -> Result<String, AddressError> {
        to_gruu(self.jid_to_sip(jid)?, jid.resource().map_or("", |resource| resource.as_str()))
    }

    /// The SIP URI that a request to a user is sent to: a telephone number is marked as one, which gateways to telephones need.
    ///
    /// The device is named only where the resource can have been made from a GRUU (RFC 5627 §5.1 binds it to an instance, a URN).
    /// Any other resource came from a tuple id or a From, and a registrar asked for it would find nobody.
    pub fn jid_to_recipient(&self, jid: &Jid) -> Result<String, AddressError> {
        let uri = self.uri_of(jid, Phone::Said, Spelling::Canonical)?;
        match jid.resource().map(|resource| resource.as_str()).filter(|resource| resource.starts_with("urn:")) {
            Some(instance) => to_gruu(uri, instance),
            None => Ok(uri),
        }
    }
}

/// The URI of a user with this resource as `gr`; with none, where that is empty.
pub(crate) fn to_gruu(mut uri: String, resource: &str) -> Result<String, AddressError> {
    if !resource.is_empty() {
        settled_resource(resource)?;
        uri.push_str(";gr=");
        escape::percent_encode(resource, escape::PARAMETER, &mut uri);
    }
    Ok(uri)
}

/// The JID that a stanza names, with its domain in the one form that the same domain of a SIP URI gets: U-labels where they are safe, no
/// root dot, IPv6 as RFC 5952 has it. Servers differ in what they normalise.
pub fn read_jid(text: &str) -> Result<Jid, AddressError> {
    let end = memchr::memchr(b'/', text.as_bytes()).unwrap_or(text.len());
    let (bare, resource) = text.split_at_checked(end).unwrap_or((text, ""));
    let (node, domain) = bare.split_once('@').map_or((None, bare), |(node, domain)| (Some(node), domain));
    let jid = if domain::is_canonical(domain) {
        Jid::new(text)?
    } else {
        let domain = domain::canonical(domain)?;
        let domain = domain::to_xmpp(&domain)?;
        let node = node.map(NodePart::new).transpose()?;
        let resource = resource.strip_prefix('/').map(ResourcePart::new).transpose()?;
        Jid::from_parts(node.as_deref(), &domain, resource.as_deref())
    };
    // As in `user_of`: what stringprep would change once more is no JID yet.
    let is_settled = text.is_ascii() || Jid::new(jid.as_str()).is_ok_and(|again| again == jid);
    if is_settled { Ok(jid) } else { Err(AddressError::User) }
}

/// How far nodeprep may change a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    /// As all servers do: lower case, compatibility forms, characters that nobody sees.
    Any,
    /// To lower case alone.
    CaseOnly,
}

/// Whether a telephone number is marked as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phone {
    /// It is not: the host's pua finds a dialog only by the URI that presence servers write, and they write no parameters.
    Unsaid,
    /// With `user=phone` (RFC 3261 §19.1.1).
    Said,
}

/// The domain of a JID in its canonical SIP form: the same for all spellings of one domain.
pub(crate) fn domain_of(jid: &str) -> Cow<'_, str> {
    let bare = jid.split_once('/').map_or(jid, |(bare, _)| bare);
    let domain = bare.rsplit_once('@').map_or(bare, |(_, domain)| domain);
    domain::from_xmpp(domain).unwrap_or(Cow::Borrowed(domain))
}

/// Whether both networks can have a domain of this name.
pub(crate) fn is_domain(name: &str) -> bool {
    domain::canonical(name).is_ok()
}

/// The localpart for a decoded SIP user.
fn node_of(user: &str, change: Change) -> Result<Cow<'_, NodeRef>, AddressError> {
    if user.is_empty() {
        return Err(AddressError::NoUser);
    }
    if user.starts_with(' ') || user.ends_with(' ') {
        return Err(AddressError::User);
    }
    match escape::escape(user) {
        Cow::Borrowed(plain) => node_part(plain, change),
        Cow::Owned(escaped) => Ok(Cow::Owned(node_part(&escaped, change)?.into_owned())),
    }
}

fn node_part(escaped: &str, change: Change) -> Result<Cow<'_, NodeRef>, AddressError> {
    if escaped.len() > MAX_PART {
        return Err(AddressError::TooLong);
    }
    let node = NodePart::new(escaped)?;
    if !escaped.is_ascii() {
        // Compatibility forms (U+FF3C, say) become ASCII only now and can make an escape sequence that was not there.
        user_of(&node)?;
        if change == Change::CaseOnly && escaped.to_lowercase() != node.as_str() {
            return Err(AddressError::Ambiguous);
        }
    }
    Ok(node)
}

/// The SIP user, not yet percent-encoded, for a localpart.
fn user_of(node: &NodeRef) -> Result<Cow<'_, str>, AddressError> {
    // Stringprep is not idempotent for what Unicode got after version 3.2: such a name would change on its way back.
    let settled = |byte: u8| byte.is_ascii() && !byte.is_ascii_uppercase();
    if !node.as_str().bytes().all(settled) && !NodePart::new(node.as_str()).is_ok_and(|again| again.as_str() == node.as_str()) {
        return Err(AddressError::User);
    }
    let user = escape::unescape(node.as_str());
    if let Cow::Owned(user) = &user {
        if user.starts_with(' ') || user.ends_with(' ') {
            return Err(AddressError::User);
        }
        // `a\5cb` means `a\b`, which is written without escape (XEP-0106 §4.2): only one of the two is let through.
        if escape::escape(user) != node.as_str() {
            return Err(AddressError::Ambiguous);
        }
    }
    Ok(user)
}

/// As [`user_of`] does for localparts.
fn settled_resource(resource: &str) -> Result<(), AddressError> {
    if resource.is_ascii() || ResourcePart::new(resource).is_ok_and(|again| again.as_str() == resource) {
        return Ok(());
    }
    Err(AddressError::Resource)
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
