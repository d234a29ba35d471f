//! The login of a component, in pairs: the component under test against a server that follows XEP-0114.

use sha1::Digest;
use sha1::Sha1;

use xmpp_gateway::xmpp::component::Component;
use xmpp_gateway::xmpp::component::Event;
use xmpp_gateway::xmpp::component::Reason;
use xmpp_gateway::xmpp::element::Element;
use xmpp_gateway::xmpp::fault::Fault;
use xmpp_gateway::xmpp::framer::Framer;
use xmpp_gateway::xmpp::framer::StreamEvent;
use xmpp_gateway::xmpp::ns;
use xmpp_gateway::xmpp::stream_error::Condition;
use xmpp_gateway::xmpp::stream_error::StreamError;

use crate::HEADER;

const ERROR_NS: &str = "xmlns='urn:ietf:params:xml:ns:xmpp-streams'";

/// A component with all that it said and heard.
struct Client {
    component: Component,
    written: Vec<u8>,
    events: Vec<Event>,
}

impl Client {
    fn new(secret: &str) -> Self {
        let mut component = Component::new("sip.example.net", secret);
        let written = component.start().into_bytes();
        Self { component, written, events: Vec::new() }
    }

    /// Feeds in pieces of this size.
    fn feed(&mut self, bytes: &str, size: usize) {
        for mut piece in bytes.as_bytes().chunks(size) {
            while let Some(event) = self.component.next(&mut piece) {
                self.events.push(event);
            }
            self.component.take_output(&mut self.written);
        }
    }

    fn written(&self) -> &str {
        std::str::from_utf8(&self.written).unwrap()
    }
}

/// What a client does with a script of its server, whole and byte by byte.
fn play(script: &str) -> Client {
    let [whole, bytes] = [usize::MAX, 1].map(|size| {
        let mut client = Client::new("secret");
        client.feed(script, size);
        client
    });
    assert_eq!(whole.events, bytes.events);
    assert_eq!(whole.written(), bytes.written());
    whole
}

fn play_ready(script: &str) -> Client {
    let mut client = play(&format!("{HEADER}<handshake/>{script}"));
    assert_eq!(client.events.remove(0), Event::Ready);
    client
}

/// The server of the pair: it accepts one secret.
struct Server {
    framer: Framer,
    secret: &'static str,
    /// What it has read so far was complete and in order.
    heard: usize,
}

impl Server {
    fn new(secret: &'static str) -> Self {
        Self { framer: Framer::default(), secret, heard: 0 }
    }

    /// What it answers to all that the client has written.
    fn answer(&mut self, written: &[u8]) -> String {
        let mut input = &written[self.heard..];
        self.heard = written.len();
        let mut answer = String::new();
        while let Some(event) = self.framer.next(&mut input).expect("the client writes XMPP") {
            match event {
                StreamEvent::Opened(header) => {
                    assert_eq!(header.to.as_deref(), Some("sip.example.net"));
                    answer.push_str(HEADER);
                }
                StreamEvent::Stanza(element) if element.is("handshake", ns::CLIENT) => {
                    let digest = Sha1::digest(format!("3BF96D32{}", self.secret));
                    let expected: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
                    answer.push_str(&if element.text() == expected {
                        "<handshake/>".to_owned()
                    } else {
                        format!("<stream:error><not-authorized {ERROR_NS}/></stream:error></stream:stream>")
                    });
                }
                StreamEvent::Stanza(element) => assert!(element.is("message", ns::CLIENT)),
                StreamEvent::Refused(refused) => panic!("{refused:?}"),
                StreamEvent::Closed => answer.push_str("</stream:stream>"),
            }
        }
        answer
    }
}

fn login(secret_of_client: &str) -> (Client, Server) {
    let mut client = Client::new(secret_of_client);
    let mut server = Server::new("secret");
    loop {
        let answer = server.answer(&client.written);
        if answer.is_empty() {
            return (client, server);
        }
        client.feed(&answer, 3);
    }
}

#[test]
fn the_right_secret_is_accepted() {
    let (mut client, mut server) = login("secret");
    assert_eq!(client.events, [Event::Ready]);
    assert!(client.component.is_ready());
    client.written.extend_from_slice(b"<message to='a@b'/>");
    client.written.extend_from_slice(client.component.close().as_bytes());
    let answer = server.answer(&client.written);
    client.feed(&answer, 1);
    assert_eq!(client.events, [Event::Ready, Event::Ended(Reason::Closed)]);
}

#[test]
fn a_wrong_secret_is_not_authorized() {
    let (client, _) = login("other");
    let error = StreamError { condition: Condition::NotAuthorized, text: None };
    assert_eq!(client.events, [Event::Ended(Reason::Server(error))]);
    assert!(client.written().ends_with("</handshake></stream:stream>"));
}

#[test]
fn nothing_is_sent_before_the_server_accepts() {
    let mut client = Client::new("secret");
    let header = client.written().to_owned();
    for part in ["", HEADER, "<stream:features/>", " "] {
        client.feed(part, 1);
        assert!(!client.component.is_ready());
    }
    let digest: String = Sha1::digest("3BF96D32secret").iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(client.written(), format!("{header}<handshake>{digest}</handshake>"));
    client.feed("<handshake/>", 1);
    assert!(client.component.is_ready());
    assert_eq!(client.written(), format!("{header}<handshake>{digest}</handshake>"), "stanzas are the driver's");
}

#[test]
fn a_stream_without_id_ends_the_login() {
    let without = HEADER.replace(" id='3BF96D32'", "");
    let empty = HEADER.replace("3BF96D32", "");
    for header in [without, empty] {
        for script in ["<handshake/>", "</stream:stream>"] {
            let client = play(&format!("{header}{script}"));
            assert_eq!(client.events, [Event::Ended(Reason::NoId)], "{header}{script}");
            assert!(!client.written().contains("handshake"));
        }
        // The error behind it says more than the missing id.
        let client = play(&format!("{header}<stream:error><host-unknown {ERROR_NS}/></stream:error>"));
        let error = StreamError { condition: Condition::HostUnknown, text: None };
        assert_eq!(client.events, [Event::Ended(Reason::Server(error))]);
    }
}

#[test]
fn an_id_is_taken_as_text_not_as_markup() {
    let client = play(&HEADER.replace("3BF96D32", "a&amp;b"));
    let digest = Sha1::digest("a&bsecret");
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(client.written().ends_with(&format!("<handshake>{hex}</handshake>")));
}

#[test]
fn a_stanza_instead_of_the_handshake_ends_the_login() {
    let client = play(&format!("{HEADER}<message from='a@b' to='c@d'/>"));
    assert_eq!(client.events, [Event::Ended(Reason::NoHandshake)]);
    assert!(client.written().ends_with(&format!("<stream:error><not-authorized {ERROR_NS}/></stream:error></stream:stream>")));
}

#[test]
fn stanzas_pass_and_the_rest_is_ignored() {
    let client =
        play_ready("<message/> <stream:features/><presence/><r xmlns='urn:xmpp:sm:3'/><handshake/><iq/><message xmlns='urn:x'/>");
    let names: Vec<_> = client
        .events
        .iter()
        .map(|event| match event {
            Event::Stanza(stanza) => stanza.name(),
            Event::Ready | Event::Refused(_) | Event::Ended(_) => "another event",
        })
        .collect();
    assert_eq!(names, ["message", "presence", "iq"]);
}

#[test]
fn what_cannot_be_read_is_told_to_the_server() {
    for (input, fault, condition) in [
        ("<!DOCTYPE x>", Fault::Restricted, "restricted-xml"),
        ("<message></x>", Fault::NotWellFormed, "not-well-formed"),
        ("<x:y/>", Fault::Prefix, "bad-namespace-prefix"),
        ("text", Fault::Format, "bad-format"),
    ] {
        let client = play_ready(&format!("{input}<presence/>"));
        assert_eq!(client.events, [Event::Ended(Reason::Fault(fault))], "{input}");
        let end = format!("</handshake><stream:error><{condition} {ERROR_NS}/></stream:error></stream:stream>");
        assert!(client.written().ends_with(&end), "{input}: {}", client.written());
    }
}

#[test]
fn a_second_component_takes_the_place_of_the_first() {
    let client = play_ready(&format!(
        "<presence/><stream:error><conflict {ERROR_NS}/><text {ERROR_NS}>Replaced by new connection</text></stream:error></stream:stream>"
    ));
    let Some(Event::Ended(reason)) = client.events.last() else { panic!("{:?}", client.events) };
    assert_eq!(reason.to_string(), "the server says conflict: Replaced by new connection");
    assert_eq!(client.events.len(), 2);
    assert!(client.written().ends_with("</handshake></stream:stream>"));
}

#[test]
fn the_end_of_the_server_is_answered_once() {
    let mut client = play_ready("</stream:stream><presence/>");
    assert_eq!(client.events, [Event::Ended(Reason::Closed)]);
    assert!(client.written().ends_with("</handshake></stream:stream>"));
    assert_eq!(client.component.close(), "");
    assert!(!client.component.is_ready());
}

#[test]
fn stanzas_still_come_after_our_end() {
    let mut client = play_ready("");
    assert_eq!(client.component.close(), "</stream:stream>");
    assert_eq!(client.component.close(), "");
    assert!(!client.component.is_ready());
    client.feed("<message/></stream:stream>", 1);
    assert!(matches!(client.events[..], [Event::Stanza(_), Event::Ended(Reason::Closed)]), "{:?}", client.events);
    assert!(client.written().ends_with("</handshake>"), "the end is not written twice");
}

#[test]
fn a_stanza_that_the_gateway_cannot_address_ends_the_stream() {
    let mut client = play_ready("<message to='a@b'/>");
    client.component.fail(&Condition::ImproperAddressing);
    client.feed("</stream:stream>", 1);
    assert!(matches!(client.events.last(), Some(Event::Ended(Reason::Closed))));
    assert!(
        client.written().ends_with(&format!("<stream:error><improper-addressing {ERROR_NS}/></stream:error></stream:stream>"))
    );
}

#[test]
fn a_stanza_beyond_a_limit_is_told_and_the_stream_goes_on() {
    let deep = format!("{}{}", "<a>".repeat(100), "</a>".repeat(100));
    let client = play_ready(&format!("<iq id='1'>{deep}</iq><presence/><x xmlns='urn:x'>{deep}</x><iq/>"));
    let [Event::Refused(refused), Event::Stanza(presence), Event::Stanza(_)] = &client.events[..] else {
        panic!("{:?}", client.events)
    };
    assert_eq!((refused.stanza.as_ref(), refused.fault), (Some(&Element::parse("<iq id='1'/>").unwrap()), Fault::Depth));
    assert_eq!(presence.name(), "presence");
    assert!(client.component.is_ready() && client.written().ends_with("</handshake>"));
    // A stream error that is too long to be read is one all the same.
    let client = play_ready(&format!("<stream:error>{deep}</stream:error>"));
    let error = StreamError { condition: Condition::UndefinedCondition, text: None };
    assert_eq!(client.events, [Event::Ended(Reason::Server(error))]);
}

#[test]
fn what_is_beyond_a_limit_ends_a_login() {
    let end = format!("<stream:error><policy-violation {ERROR_NS}/></stream:error></stream:stream>");
    let deep = format!("{}{}", "<handshake>".repeat(100), "</handshake>".repeat(100));
    for header in [HEADER, &HEADER.replace("3BF96D32", "")] {
        let client = play(&format!("{header}{deep}<handshake/>"));
        assert_eq!(client.events, [Event::Ended(Reason::Fault(Fault::Depth))]);
        assert!(client.written().ends_with(&end));
    }
}

#[test]
fn a_stanza_that_never_ends_is_a_fault_of_the_server() {
    let mut client = play_ready("");
    client.feed(&format!("<message>{}{}", "<a>".repeat(100), "x".repeat(17 * 1024 * 1024)), usize::MAX);
    assert_eq!(client.events, [Event::Ended(Reason::Fault(Fault::Bytes))]);
    let end = format!("</handshake><stream:error><policy-violation {ERROR_NS}/></stream:error></stream:stream>");
    assert!(client.written().ends_with(&end));
}

#[test]
fn a_domain_cannot_break_the_header() {
    let header = Component::new("a'b><", "").start();
    assert!(header.ends_with(" to='a&apos;b&gt;&lt;'>"), "{header}");
}
