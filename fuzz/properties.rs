//! What holds whatever a peer sends: the statements that the targets share. Each panics where it does not.

use std::time::Instant;

use xmpp_gateway::address::Addresses;
use xmpp_gateway::address::DomainPair;
use xmpp_gateway::address::Scheme;
use xmpp_gateway::config::Config;
use xmpp_gateway::config::Parameters;
use xmpp_gateway::gateway::Gateway;
use xmpp_gateway::gateway::action::Action;
use xmpp_gateway::sip;
use xmpp_gateway::sip::dialog_info;
use xmpp_gateway::sip::pidf;
use xmpp_gateway::xmpp::element::Element;

/// The domain of the SIP users.
pub const DOMAIN: &str = "sip.example.com";

/// A stream that is open, up to its first stanza.
pub const HEADER: &str = "<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept' \
                          xmlns:stream='http://etherx.jabber.org/streams' from='sip.example.com' id='3BF96D32'>";

/// All ways to write addresses of one side on the other.
pub fn schemes() -> [Addresses; 3] {
    let pairs = || vec![DomainPair { sip: "a.example".into(), xmpp: "b.example".into() }];
    let encoded = Scheme::Encoded {
        separator: "*".into(),
        gateway_domain: "gateway.example".into(),
        xmpp_domain: DOMAIN.into(),
        pairs: pairs(),
    };
    [Scheme::Transparent, Scheme::Mapped(pairs()), encoded]
        .map(|scheme| Addresses::new(scheme).expect("a scheme"))
        .map(|addresses| addresses.of_component(DOMAIN).expect("a domain"))
}

/// A configuration as operators have it.
pub fn config() -> Config {
    let parameters = Parameters {
        xmpp_domain: Some(DOMAIN.into()),
        xmpp_password: Some("secret".into()),
        server_address: Some("sip:gateway@sip.example.com".into()),
        ..Parameters::default()
    };
    Config::from_parameters(&parameters).expect("parameters")
}

/// A gateway whose stream is up.
pub fn gateway(now: Instant) -> Gateway {
    let mut gateway = Gateway::new(&config(), now, 1);
    gateway.stream_up(now, DOMAIN, &mut Vec::new());
    gateway
}

/// What leaves the gateway is one well-formed stanza, or goes into SIP without a byte that ends what it stands in.
pub fn check_action(action: &Action) {
    match action {
        Action::Stanza(stanza) => check_stanza(stanza),
        Action::Message(message) => check_message(message),
        Action::Publish(publish) => {
            check_uri(&publish.presentity);
            assert!(!publish.id.is_empty() && publish.id.len() < 50 && is_word(&publish.id), "{}", publish.id);
            if let Some(body) = &publish.body {
                pidf::Document::parse(body).expect("a PIDF of ours can be read");
            }
        }
        Action::Lamp(publish) => {
            check_uri(&publish.presentity);
            assert!(!publish.id.is_empty() && publish.id.len() < 50 && is_word(&publish.id), "{}", publish.id);
            if let Some(body) = &publish.body {
                dialog_info::Document::parse(body).expect("a document of ours can be read");
            }
        }
        Action::Withdraw(withdrawal) => {
            check_uri(&withdrawal.presentity);
            assert!(is_word(&withdrawal.entity_tag), "{}", withdrawal.entity_tag);
        }
        Action::TellWatchers(presentity) => check_uri(presentity),
        Action::Subscribe(subscribe) => {
            check_uri(&subscribe.presentity);
            check_uri(&subscribe.watcher);
        }
        Action::Notify(notify) => {
            for line in notify.headers.split_inclusive("\r\n") {
                let (name, value) = line.strip_suffix("\r\n").and_then(|line| line.split_once(": ")).expect(line);
                assert!(["Event", "Subscription-State", "Contact", "Content-Type"].contains(&name), "{line:?}");
                assert!(!value.is_empty() && !value.contains(char::is_control), "{line:?}");
            }
            check_dialog(&notify.dialog);
            if !notify.body.is_empty() {
                pidf::Document::parse(&notify.body).expect("a PIDF of ours can be read");
            }
        }
        Action::EndDialog(dialog) => check_dialog(dialog),
        Action::Authorize { watcher, presentity, presentity_uri, .. } => {
            check_uri(presentity_uri);
            check_jid(watcher);
            check_jid(presentity);
        }
    }
}

/// A dialog whose texts can stand in a request.
fn check_dialog(dialog: &sip::Dialog) {
    let (call_id, local_tag, remote_tag) = dialog.id();
    assert!(!call_id.is_empty() && call_id.bytes().all(|byte| byte.is_ascii_graphic()), "{call_id:?}");
    let texts = [local_tag, remote_tag, dialog.local_uri(), dialog.remote_uri(), dialog.remote_target()];
    assert!(texts.into_iter().chain(dialog.routes()).all(is_word), "{dialog:?}");
}

/// One stanza, which the server can read as it was meant.
pub fn check_stanza(stanza: &str) {
    let element = Element::parse(stanza).unwrap_or_else(|fault| panic!("{fault:?}: {stanza}"));
    assert!(matches!(element.name(), "message" | "presence" | "iq"), "{stanza}");
}

/// A MESSAGE with the headers that were meant, and no others.
pub fn check_message(message: &sip::Message) {
    check_uri(&message.to);
    check_uri(&message.from);
    assert!(message.call_id.as_deref().is_none_or(is_word), "{:?}", message.call_id);
    for line in message.headers.split_inclusive("\r\n") {
        let (name, value) = line.strip_suffix("\r\n").and_then(|line| line.split_once(": ")).expect(line);
        assert!(["Content-Type", "Content-Language", "Subject"].contains(&name), "{line:?}");
        assert!(!value.is_empty() && !value.contains(char::is_control), "{line:?}");
    }
}

/// A SIP URI that can stand in a request line and between angle brackets.
pub fn check_uri(uri: &str) {
    assert!(uri.starts_with("sip:") && is_word(uri), "{uri}");
}

/// A JID in its normal form.
pub fn check_jid(text: &str) {
    assert_eq!(jid::Jid::new(text).expect(text).as_str(), text);
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && !b"<>\"".contains(&byte))
}
