//! Where somebody can be reached instead: the Contact of a 3xx as the address of `gone` and `redirect` (RFC 6120 §8.3.3.5, §8.3.3.14).

use std::net::IpAddr;

use jid::Jid;

use crate::address::Addresses;
use crate::address::percent_encode_iri_part;

/// The longest address that is passed on.
const LONGEST: usize = 1024;

/// Schemes that say where a person is, and that need no translation.
const KEPT: [&str; 5] = ["xmpp:", "tel:", "mailto:", "https:", "http:"];

/// The URI for XMPP: `xmpp:` (RFC 5122) where the Contact is an address that both sides have, the Contact itself where it is of another
/// scheme that a human can use. `None` for an IP address: it is a device, which XMPP does not reach and strangers need not know.
pub fn to_xmpp(contact: &[u8], addresses: &Addresses) -> Option<String> {
    if let Ok(jid) = addresses.sip_to_jid(contact) {
        let domain = jid.domain().as_str();
        let is_device = domain.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().is_ok();
        return (!is_device).then(|| xmpp_uri(&jid));
    }
    let uri = std::str::from_utf8(contact).ok().filter(|uri| uri.len() <= LONGEST)?;
    let is_kept = KEPT.iter().any(|scheme| uri.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)));
    let is_plain = uri.bytes().all(|byte| byte.is_ascii_graphic() && !b"<>\"\\^`{|}".contains(&byte));
    (is_kept && is_plain).then(|| uri.to_owned())
}

/// RFC 5122 §2.7.1, as a URI: what is not ASCII is written `%HH` too.
fn xmpp_uri(jid: &Jid) -> String {
    let mut uri = "xmpp:".to_owned();
    if let Some(node) = jid.node() {
        percent_encode_iri_part(node.as_str(), &mut uri);
        uri.push('@');
    }
    percent_encode_iri_part(jid.domain().as_str(), &mut uri);
    if let Some(resource) = jid.resource() {
        uri.push('/');
        percent_encode_iri_part(resource.as_str(), &mut uri);
    }
    uri
}
