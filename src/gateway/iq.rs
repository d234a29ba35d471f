//! Questions to the gateway itself: who it is (XEP-0030), whether it lives (XEP-0199). All others get an error, as RFC 6120 §8.2.3
//! demands: a question is never left without an answer.

use crate::gateway::action::Action;
use crate::xml::XmlWriter;
use crate::xmpp::element::Element;
use crate::xmpp::stanza::IqType;
use crate::xmpp::stanza::iq_result;
use crate::xmpp::stanza_error::Condition;
use crate::xmpp::stanza_error::StanzaError;

const DISCO_INFO: &str = "http://jabber.org/protocol/disco#info";
const PING: &str = "urn:xmpp:ping";

/// Answers one iq.
pub(super) fn answer(domain: &str, iq: &Element, actions: &mut Vec<Action>) -> Result<(), StanzaError> {
    match IqType::of(iq) {
        Some(IqType::Get) => {}
        Some(IqType::Set) => return Err(Condition::ServiceUnavailable.into()),
        // We ask nothing yet, so no answer is awaited.
        Some(IqType::Result | IqType::Error) => return Ok(()),
        None => return Err(Condition::BadRequest.into()),
    }
    let result = if iq.child("ping", PING).is_some() {
        iq_result(iq, None)
    } else {
        match iq.child("query", DISCO_INFO) {
            Some(query) if iq.attribute("to") == Some(domain) && query.attribute("node").is_none() => {
                iq_result(iq, Some(&identity()))
            }
            Some(_) | None => return Err(Condition::ServiceUnavailable.into()),
        }
    };
    actions.extend(result.map(Action::Stanza));
    Ok(())
}

/// A gateway to SIP/SIMPLE, by the registry of service discovery identities.
fn identity() -> String {
    let mut xml = XmlWriter::new();
    xml.open("query").attribute("xmlns", DISCO_INFO);
    xml.open("identity").attribute("category", "gateway").attribute("type", "simple").attribute("name", "SIP").close();
    for feature in [DISCO_INFO, PING] {
        xml.open("feature").attribute("var", feature).close();
    }
    xml.finish()
}
