//! Questions to the gateway itself: who it is (XEP-0030), whether it lives (XEP-0199). All others get an error, as RFC 6120 §8.2.3
//! demands: a question is never left without an answer.

use crate::gateway::action::Action;
use crate::xml::XmlWriter;
use crate::xmpp::element::Element;
use crate::xmpp::stanza::Condition;
use crate::xmpp::stanza::StanzaError;

const DISCO_INFO: &str = "http://jabber.org/protocol/disco#info";
const PING: &str = "urn:xmpp:ping";

/// Answers one iq.
pub(super) fn answer(domain: &str, iq: &Element, actions: &mut Vec<Action>) -> Result<(), StanzaError> {
    match iq.attribute("type") {
        Some("get") => {}
        Some("set") => return Err(Condition::ServiceUnavailable.into()),
        // We ask nothing yet, so no answer is awaited.
        Some("result" | "error") => return Ok(()),
        _ => return Err(Condition::BadRequest.into()),
    }
    let (Some(from), Some(to), Some(id)) = (iq.attribute("from"), iq.attribute("to"), iq.attribute("id")) else {
        return Err(Condition::BadRequest.into());
    };
    let mut xml = XmlWriter::new();
    xml.open("iq").attribute("type", "result").attribute("from", to).attribute("to", from).attribute("id", id);
    if iq.child("ping", PING).is_some() {
        actions.push(Action::Stanza(xml.finish()));
        return Ok(());
    }
    match iq.child("query", DISCO_INFO) {
        Some(query) if to == domain && query.attribute("node").is_none() => {
            xml.open("query").attribute("xmlns", DISCO_INFO);
            xml.open("identity").attribute("category", "gateway").attribute("type", "simple");
            xml.attribute("name", "SIP").close();
            for feature in [DISCO_INFO, PING] {
                xml.open("feature").attribute("var", feature).close();
            }
            actions.push(Action::Stanza(xml.finish()));
            Ok(())
        }
        Some(_) | None => Err(Condition::ServiceUnavailable.into()),
    }
}
