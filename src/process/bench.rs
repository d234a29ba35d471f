//! The yardstick of `make bench`: how many MESSAGEs tm sends from this process when sending them is all it does.
//!
//! `<iq type='set'><loop xmlns='urn:xmpp_gateway:bench' count='N' to='sip:...'/></iq>` sends N of them back to back and answers with
//! the time it took. Only in a module built with the feature `bench`.

use std::time::Instant;

use crate::process::host::Host;
use crate::sip;
use crate::xml::XmlWriter;
use crate::xmpp::element::Element;
use crate::xmpp::stanza::iq_result;

const NS: &str = "urn:xmpp_gateway:bench";

/// These, and the headers, are those of the messages that the benchmark sends through the gateway.
const FROM: &str = "sip:romeo@xmpp.bench;gr=orchard";
const BODY: &str = "With love's light wings did I o'er-perch these walls #m000000000#";

/// The answer, if the stanza asks for a loop.
pub(super) fn answer(host: &mut impl Host, stanza: &Element) -> Option<String> {
    let wanted = stanza.child("loop", NS)?;
    let count: u32 = wanted.attribute("count")?.parse().ok()?;
    let mut headers = sip::Headers::default();
    headers.push(sip::HeaderName::ContentType, "text/plain");
    let message = sip::Message {
        to: sip::Uri::new(wanted.attribute("to")?.to_owned())?,
        from: sip::Uri::new(FROM.to_owned())?,
        call_id: None,
        unique: 0,
        max_forwards: 70,
        headers,
        body: BODY.into(),
        origin: None,
    };
    let start = Instant::now();
    let failed = (0..count).filter(|_| host.bare_request(&message).is_err()).count();
    let elapsed = start.elapsed();
    if failed > 0 {
        log::error!("{failed} of {count} requests of the loop were not sent");
    }
    let mut xml = XmlWriter::new();
    xml.open("loop").attribute("xmlns", NS).attribute("elapsed-ns", &elapsed.as_nanos().to_string());
    iq_result(stanza, Some(&xml.finish()))
}
