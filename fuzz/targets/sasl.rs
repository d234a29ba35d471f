//! Whatever a server challenges with: a login goes on, or ends with an error. Nothing proves a server that does not know the password.
#![no_main]

use data_encoding::BASE64;
use libfuzzer_sys::fuzz_target;
use xmpp_gateway::xmpp::element::Element;
use xmpp_gateway::xmpp::sasl::Exchange;
use xmpp_gateway::xmpp::sasl::Proof;
use xmpp_gateway::xmpp::sasl::Salted;
use xmpp_gateway::xmpp::sasl::ShowPassword;

const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";

fuzz_target!(|data: &[u8]| {
    let mut pieces = data.splitn(3, |byte| *byte == 0xff);
    let [challenge, success, key] = [(); 3].map(|()| pieces.next().unwrap_or_default());
    let key = std::str::from_utf8(key).ok().and_then(Salted::read).map(Proof::Salted);
    for (mechanism, proof) in [
        ("SCRAM-SHA-256", Some(Proof::Password("pencil".into()))),
        ("SCRAM-SHA-1", Some(Proof::Password("pencil".into()))),
        ("SCRAM-SHA-256", key),
    ] {
        let Some(proof) = proof else { continue };
        for begins in [true, false] {
            let offer =
                Element::parse(&format!("<mechanisms xmlns='{SASL}'><mechanism>{mechanism}</mechanism></mechanisms>")).unwrap();
            let Ok((mut exchange, auth)) = Exchange::begin("juliet", &proof, &offer, ShowPassword::Forbidden) else { return };
            let first = String::from_utf8(text(&auth)).unwrap();
            let nonce = first.split_once(",r=").unwrap().1;
            // As it is, or as one that goes on from our nonce.
            let words = if begins { [b"r=", nonce.as_bytes(), challenge].concat() } else { challenge.to_vec() };
            if let Ok(response) = exchange.challenge(&element("challenge", &words)) {
                let response = String::from_utf8(text(&response)).unwrap();
                assert!(
                    response.starts_with("c=biws,r=") && response.contains(",p=") && !response.contains("pencil"),
                    "{response}"
                );
            }
            assert!(exchange.success(&element("success", success)).is_err());
        }
    }
});

fn element(name: &str, content: &[u8]) -> Element {
    Element::parse(&format!("<{name} xmlns='{SASL}'>{}</{name}>", BASE64.encode(content))).unwrap()
}

fn text(xml: &str) -> Vec<u8> {
    BASE64.decode(Element::parse(xml).unwrap().text().as_bytes()).unwrap()
}
