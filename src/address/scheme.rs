//! How the users of one side are named on the other: the same domain, a table of domains, or the whole address in the user part.

use std::borrow::Cow;
use std::collections::HashMap;

use super::AddressError;
use super::domain;

/// How addresses of one side look on the other, as the operator chose it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scheme {
    /// `user@domain` on both sides.
    Transparent,
    /// `user@` stays and the domain is looked up; a domain in no pair stays as it is.
    Mapped(Vec<DomainPair>),
    /// The whole address stands in the user part, so that no domain of one side need exist on the other.
    Encoded {
        /// Stands between user and domain, as `*` in `sip:romeo*xmpp.example@gateway.example`.
        separator: String,
        /// SIP domain under which XMPP users are reached.
        gateway_domain: String,
        /// XMPP domain (the component) under which SIP users are reached.
        xmpp_domain: String,
        /// Domains that are mapped one to one instead.
        pairs: Vec<DomainPair>,
    },
}

/// One row of the domain table (`gwmap`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainPair {
    /// The domain in SIP.
    pub sip: String,
    /// The domain in XMPP.
    pub xmpp: String,
}

/// Why a scheme cannot be used: the operator must change it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SchemeError {
    /// This is no domain.
    Domain(String),
    /// This SIP domain stands in two pairs, or is the gateway domain and stands in one.
    SipTwice(String),
    /// This XMPP domain stands in two pairs, or is the component and stands in one.
    XmppTwice(String),
    /// The separator is empty, longer than 8 characters, or has a character that a domain can have, a space or a backslash.
    Separator(String),
}

impl std::fmt::Display for SchemeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Domain(domain) => write!(f, "`{domain}` is not a domain"),
            Self::SipTwice(domain) => write!(f, "the SIP domain `{domain}` is mapped twice"),
            Self::XmppTwice(domain) => write!(f, "the XMPP domain `{domain}` is mapped twice"),
            Self::Separator(separator) => {
                write!(
                    f,
                    "`{separator}` cannot separate: it takes 1 to {MAX_SEPARATOR} ASCII characters that no domain has, as `*`"
                )
            }
        }
    }
}

impl std::error::Error for SchemeError {}

/// The longest separator.
pub(super) const MAX_SEPARATOR: usize = 8;

/// A checked scheme, all domains in their canonical SIP form.
#[derive(Debug, Clone)]
pub(super) enum Compiled {
    Transparent,
    Mapped(Table),
    Encoded { separator: String, gateway_domain: String, xmpp_domain: String, table: Table },
}

type Translated<'a> = (Cow<'a, str>, Cow<'a, str>);

impl Compiled {
    pub(super) fn new(scheme: Scheme) -> Result<Self, SchemeError> {
        match scheme {
            Scheme::Transparent => Ok(Self::Transparent),
            Scheme::Mapped(pairs) => Ok(Self::Mapped(Table::new(pairs)?)),
            Scheme::Encoded { separator, gateway_domain, xmpp_domain, pairs } => {
                let taken = |c: char| !c.is_ascii_graphic() || c.is_ascii_alphanumeric() || ".-_:[]\\".contains(c);
                if separator.is_empty() || separator.len() > MAX_SEPARATOR || separator.contains(taken) {
                    return Err(SchemeError::Separator(separator));
                }
                let gateway_domain = checked(gateway_domain)?;
                let xmpp_domain = checked(xmpp_domain)?;
                let table = Table::new(pairs)?;
                if table.sip_to_xmpp.contains_key(&gateway_domain) {
                    return Err(SchemeError::SipTwice(gateway_domain));
                }
                if table.xmpp_to_sip.contains_key(&xmpp_domain) {
                    return Err(SchemeError::XmppTwice(xmpp_domain));
                }
                Ok(Self::Encoded { separator, gateway_domain, xmpp_domain, table })
            }
        }
    }

    /// User and domain in XMPP, neither escaped.
    pub(super) fn to_xmpp<'a>(&'a self, user: &'a str, host: &'a str) -> Result<Translated<'a>, AddressError> {
        match self {
            Self::Transparent => Ok((Cow::Borrowed(user), Cow::Borrowed(host))),
            Self::Mapped(table) => Ok((Cow::Borrowed(user), Cow::Borrowed(table.to_xmpp(host)?))),
            Self::Encoded { separator, gateway_domain, xmpp_domain, table } if host == gateway_domain => {
                let (user, written) = decode(user, separator)?;
                let domain = domain::canonical(written)?;
                if domain == *xmpp_domain || table.xmpp_to_sip.contains_key(domain.as_ref()) {
                    return Err(AddressError::Ambiguous);
                }
                Ok((Cow::Borrowed(user), domain))
            }
            Self::Encoded { separator, xmpp_domain, table, .. } => match table.sip_to_xmpp.get(host) {
                Some(domain) => Ok((Cow::Borrowed(user), Cow::Borrowed(domain))),
                None => Ok((Cow::Owned([user, separator, host].concat()), Cow::Borrowed(xmpp_domain))),
            },
        }
    }

    /// User and host in SIP, neither escaped.
    pub(super) fn to_sip<'a>(&'a self, user: &'a str, domain: &'a str) -> Result<Translated<'a>, AddressError> {
        match self {
            Self::Transparent => Ok((Cow::Borrowed(user), Cow::Borrowed(domain))),
            Self::Mapped(table) => Ok((Cow::Borrowed(user), Cow::Borrowed(table.to_sip(domain)?))),
            Self::Encoded { separator, gateway_domain, xmpp_domain, table } if domain == xmpp_domain => {
                let (user, written) = decode(user, separator)?;
                let host = domain::canonical(written)?;
                // A JID has one spelling, other than the host of a URI.
                if host != written || host == *gateway_domain || table.sip_to_xmpp.contains_key(host.as_ref()) {
                    return Err(AddressError::Ambiguous);
                }
                Ok((Cow::Borrowed(user), host))
            }
            Self::Encoded { separator, gateway_domain, table, .. } => match table.xmpp_to_sip.get(domain) {
                Some(host) => Ok((Cow::Borrowed(user), Cow::Borrowed(host))),
                None => Ok((Cow::Owned([user, separator, domain].concat()), Cow::Borrowed(gateway_domain))),
            },
        }
    }
}

/// The domain pairs, looked up from both sides.
#[derive(Debug, Clone, Default)]
pub(super) struct Table {
    sip_to_xmpp: HashMap<String, String>,
    xmpp_to_sip: HashMap<String, String>,
}

impl Table {
    fn new(pairs: Vec<DomainPair>) -> Result<Self, SchemeError> {
        let mut table = Self::default();
        for pair in pairs {
            let sip = checked(pair.sip)?;
            let xmpp = checked(pair.xmpp)?;
            if table.xmpp_to_sip.insert(xmpp.clone(), sip.clone()).is_some() {
                return Err(SchemeError::XmppTwice(xmpp));
            }
            if table.sip_to_xmpp.insert(sip.clone(), xmpp).is_some() {
                return Err(SchemeError::SipTwice(sip));
            }
        }
        Ok(table)
    }

    /// A domain that only the other column has would come back as that column's partner.
    fn to_xmpp<'a>(&'a self, host: &'a str) -> Result<&'a str, AddressError> {
        look_up(host, &self.sip_to_xmpp, &self.xmpp_to_sip)
    }

    fn to_sip<'a>(&'a self, domain: &'a str) -> Result<&'a str, AddressError> {
        look_up(domain, &self.xmpp_to_sip, &self.sip_to_xmpp)
    }
}

fn look_up<'a>(
    domain: &'a str,
    there: &'a HashMap<String, String>,
    back: &HashMap<String, String>,
) -> Result<&'a str, AddressError> {
    match there.get(domain) {
        Some(other) => Ok(other),
        None if back.contains_key(domain) => Err(AddressError::Ambiguous),
        None => Ok(domain),
    }
}

/// User and domain as it is written. The last separator counts: a user may contain it, a domain cannot.
fn decode<'a>(user: &'a str, separator: &str) -> Result<(&'a str, &'a str), AddressError> {
    let (user, domain) = user.rsplit_once(separator).ok_or(AddressError::NoUser)?;
    if user.is_empty() { Err(AddressError::NoUser) } else { Ok((user, domain)) }
}

fn checked(domain: String) -> Result<String, SchemeError> {
    match domain::canonical(&domain) {
        Ok(form) => Ok(form.into_owned()),
        Err(_) => Err(SchemeError::Domain(domain)),
    }
}
