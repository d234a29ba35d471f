//! How many hops a MESSAGE may still go (RFC 3261 §8.1.1.6), counted on across XMPP.
//!
//! Two gateways that lead to each other would send a message round for ever: on the SIP side each time is a new request, with a
//! Max-Forwards and Vias of its own, so neither the count nor the loop detection of RFC 5393 sees it. RFC 7332 has who ends a request and
//! begins another go on with the count. In a stanza it is a header of XEP-0131.
//!
//! A way through the gateway counts as ten hops, our choice: few copies come of a message that goes round, and a request that has been
//! through a gateway is known by its count. Only such a one tells it to XMPP; what phones send becomes the stanza that it would be anyway.

use crate::sip::header;
use crate::xml::XmlWriter;
use crate::xmpp::element::Element;
use crate::xmpp::ns;

/// What a MESSAGE has that was not under way before.
pub const FRESH: u8 = MOST - CROSSING;

/// What user agents begin with (RFC 3261 §8.1.1.6).
const MOST: u8 = 70;

/// What a way through the gateway counts.
const CROSSING: u8 = 10;

const NAME: &str = "Max-Forwards";

/// The hops left to what becomes of a stanza; `None` if it has been under way for too long. What is no number tells nothing.
pub(super) fn of_stanza(stanza: &Element) -> Option<u8> {
    let headers = stanza.child("headers", ns::SHIM).into_iter().flat_map(Element::children);
    let told = headers.filter(|header| header.is("header", ns::SHIM)).find(|header| header.attribute("name") == Some(NAME));
    let left = told.and_then(|header| number(header.text().as_bytes())).unwrap_or(MOST);
    left.min(MOST).checked_sub(CROSSING).filter(|left| *left > 0)
}

/// Tells the Max-Forwards of a request that a gateway made, or that is as far from its sender as one.
pub(super) fn write(xml: &mut XmlWriter, max_forwards: Option<&[u8]>) {
    if let Some(left) = max_forwards.and_then(number).filter(|left| *left <= FRESH) {
        xml.open("headers").attribute("xmlns", ns::SHIM);
        xml.open("header").attribute("name", NAME).text(&left.to_string()).close().close();
    }
}

/// A Max-Forwards (RFC 3261 §20.22); one that is too large is as large as can be.
fn number(value: &[u8]) -> Option<u8> {
    header::expires(value).map(|number| u8::try_from(number).unwrap_or(u8::MAX))
}
