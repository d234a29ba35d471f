//! Runs the cases in tests/golden: the specification of every mapping, by example.
//!
//! A file starts with prose, if it needs any. A line `=== what` says which translation it is about, `name: value` lines below it give its
//! arguments, `--- input` and `--- output` its two sides. A file may hold several cases. Line ends with the indentation
//! after them count for nothing between two tags.

// A case that cannot be read fails the test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod seeds;

use std::collections::HashMap;
use std::fmt::Write;
use std::path::Path;
use std::time::Duration;
use std::time::SystemTime;

use jid::Jid;

use xmpp_gateway::address::AddressError;
use xmpp_gateway::address::Addresses;
use xmpp_gateway::address::DomainPair;
use xmpp_gateway::address::Scheme;
use xmpp_gateway::address::read_jid;
use xmpp_gateway::config::Config;
use xmpp_gateway::config::Parameters;
use xmpp_gateway::gateway::event;
use xmpp_gateway::gateway::event::Event;
use xmpp_gateway::gateway::event::Notify;
use xmpp_gateway::link::datagram;
use xmpp_gateway::sip;
use xmpp_gateway::sip::cpim;
use xmpp_gateway::sip::dialog_info;
use xmpp_gateway::sip::dialog_state;
use xmpp_gateway::sip::dialog_state::DialogState;
use xmpp_gateway::sip::imdn::Notification;
use xmpp_gateway::sip::pidf;
use xmpp_gateway::sip::winfo;
use xmpp_gateway::translate::contact_lamp;
use xmpp_gateway::translate::disposition;
use xmpp_gateway::translate::disposition::Times;
use xmpp_gateway::translate::failure;
use xmpp_gateway::translate::message;
use xmpp_gateway::translate::message::StanzaType;
use xmpp_gateway::translate::message::ToXmpp;
use xmpp_gateway::translate::presence;
use xmpp_gateway::translate::presence::Availability;
use xmpp_gateway::translate::presence::PresenceError;
use xmpp_gateway::translate::presence::ResourcePresence;
use xmpp_gateway::translate::watchers;
use xmpp_gateway::xmpp::activity::Activity;
use xmpp_gateway::xmpp::element::Element;
use xmpp_gateway::xmpp::stanza_error::Condition;
use xmpp_gateway::xmpp::stanza_error::StanzaError;

#[test]
fn every_case_holds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut paths: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let mut report = String::new();
    let mut count = 0;
    for path in paths.iter().filter(|path| path.extension().is_some_and(|extension| extension == "case")) {
        let text = format!("\n{}", std::fs::read_to_string(path).unwrap());
        let cases = cases(&text);
        assert!(!cases.is_empty(), "no case in {}", path.display());
        for case in cases {
            count += 1;
            keep_as_seed(&case);
            let given = joined(&translate(&case));
            let wanted = joined(case.output);
            if given != wanted {
                writeln!(report, "{} ({})\n  wanted: {wanted}\n  given:  {given}", path.display(), case.what).unwrap();
            }
        }
    }
    assert!(report.is_empty(), "\n{report}");
    assert!(count > 50, "only {count} cases found");
}

struct Case<'a> {
    what: &'a str,
    arguments: HashMap<&'a str, &'a str>,
    input: &'a str,
    output: &'a str,
}

impl<'a> Case<'a> {
    fn argument(&self, name: &str) -> Option<&'a str> {
        self.arguments.get(name).copied()
    }

    fn jid(&self, name: &str) -> Jid {
        Jid::new(self.argument(name).unwrap_or_else(|| panic!("no `{name}`"))).unwrap()
    }

    fn addresses(&self) -> Addresses {
        let pairs = self.argument("gwmap").map(|map| map.split(';').map(pair).collect::<Vec<_>>());
        let scheme = match (self.argument("separator"), pairs) {
            (Some(separator), pairs) => Scheme::Encoded {
                separator: separator.into(),
                gateway_domain: self.argument("gateway_domain").unwrap().into(),
                xmpp_domain: self.argument("xmpp_domain").unwrap().into(),
                pairs: pairs.unwrap_or_default(),
            },
            (None, Some(pairs)) => Scheme::Mapped(pairs),
            (None, None) => Scheme::Transparent,
        };
        let addresses = Addresses::new(scheme).unwrap();
        match self.argument("tel_domain") {
            Some(domain) => addresses.with_tel_domain(domain).unwrap(),
            None => addresses,
        }
    }
}

fn pair(text: &str) -> DomainPair {
    let (sip, xmpp) = text.split_once('=').unwrap();
    DomainPair { sip: sip.into(), xmpp: xmpp.into() }
}

fn cases(text: &str) -> Vec<Case<'_>> {
    text.split("\n=== ").skip(1).map(case).collect()
}

fn case(text: &str) -> Case<'_> {
    let (head, rest) = text.split_once("\n--- input\n").expect("an input");
    let (input, output) = rest.split_once("\n--- output\n").expect("an output");
    let mut lines = head.lines();
    let what = lines.next().unwrap();
    Case { what, arguments: lines.map(|line| line.split_once(": ").expect(line)).collect(), input, output }
}

/// Without the line ends between tags and those around the whole.
fn joined(text: &str) -> String {
    let mut joined = String::new();
    for line in text.trim().lines() {
        let between_tags = joined.ends_with('>') && line.trim_start().starts_with('<');
        if !joined.is_empty() && !between_tags {
            joined.push('\n');
        }
        joined.push_str(if between_tags { line.trim_start() } else { line });
    }
    joined
}

fn translate(case: &Case<'_>) -> String {
    match case.what {
        "PIDF to presence" => pidf_to_presence(case),
        "presence to PIDF" => presence_to_pidf(case),
        "presences to PIDF" => presence::to_pidf(&case.jid("user"), &resources(case), &case.addresses()).unwrap(),
        "presences to the most available" => match presence::most_available(&resources(case)) {
            Some(resource) => presence::to_pidf(&case.jid("user"), [resource], &case.addresses()).unwrap(),
            None => "none".into(),
        },
        "presences to lamp" => presences_to_lamp(case),
        "presence to publication" => presence_to_publication(case),
        "MESSAGE to message" => message_to_xmpp(case),
        "message to MESSAGE" => message_to_sip(case),
        "message to Max-Forwards" => each_line(case.input, |stanza| {
            let (stanza, [from, to]) =
                (Element::parse(stanza).unwrap(), ["juliet@example.com", "romeo@example.net"].map(read_jid));
            match message::to_sip(&stanza, &from.unwrap(), &to.unwrap(), &case.addresses(), 0x2a, message::DEFAULT_LIMIT) {
                Ok(sip) => sip.max_forwards.to_string(),
                Err(error) => format!("refused: {error:?} {}", answer(failure::message_error(error))),
            }
        }),
        "undelivered MESSAGE to notification" => message_to_notification(case),
        "watcherinfo to waiting watchers" => match winfo::Document::parse(case.input.as_bytes()) {
            Ok(document) => watchers::waiting(&document, &case.addresses()).join("\n"),
            Err(error) => format!("refused: {error:?} {}", failure::body_status(error)),
        },
        "SIP URI to JID" => each_line(case.input, |uri| match case.addresses().sip_to_jid(uri.as_bytes()) {
            Ok(jid) => jid.to_string(),
            Err(error) => format!("refused: {error:?} {}", failure::address_status(error)),
        }),
        "sender of a MESSAGE to JID" => each_line(case.input, |uri| match case.addresses().sip_user_to_jid(uri.as_bytes()) {
            Ok(jid) => jid.to_string(),
            Err(error) => format!("refused: {error:?} {}", failure::message_status(message::ToXmppError::From(error))),
        }),
        "JID to SIP URI" => {
            each_line(case.input, |jid| uri_or_error(read_jid(jid).and_then(|jid| case.addresses().jid_to_gruu(&jid))))
        }
        "JID to Request-URI" => {
            each_line(case.input, |jid| uri_or_error(read_jid(jid).and_then(|jid| case.addresses().jid_to_recipient(&jid))))
        }
        "status to stanza error" => each_line(case.input, |line| {
            let (status, contact) = line.split_once(' ').map_or((line, None), |(status, contact)| (status, Some(contact)));
            let reply = sip::Reply { contact: contact.map(Into::into), ..sip::Reply::local(status.parse().ok()) };
            let error = failure::of_reply(&reply, &case.addresses());
            error.map_or("none".into(), |error| [named(&error), error.address.unwrap_or_default()].join(" ").trim().to_owned())
        }),
        "stanza error to status" => each_line(case.input, |line| {
            let (name, address) = line.split_once(' ').map_or((line, None), |(name, address)| (name, Some(address)));
            let error = StanzaError::new(Condition::from_name(name).expect(name));
            let error = address.map_or(error.clone(), |address| error.clone().with_address(address));
            format!("{} {}", failure::to_sip(&error, failure::Source::Full), failure::to_sip(&error, failure::Source::Bare))
        }),
        "reply to message error" => reply_to_message_error(case),
        "error stanza to status" => each_line(case.input, |stanza| {
            let stanza = Element::parse(stanza).unwrap();
            let error = StanzaError::of(&stanza).expect("an error");
            let full = stanza.attribute("from").is_some_and(|from| from.contains('/'));
            let source = if full { failure::Source::Full } else { failure::Source::Bare };
            format!("{} {}", failure::to_sip(&error, source), failure::reason_phrase(&error)).trim_end().to_owned()
        }),
        "stanza error to end of watching" => each_line(case.input, |line| {
            let error = StanzaError::of(&Element::parse(line).unwrap()).expect("an error");
            failure::end_of_watching(&error).map_or("none".into(), |reason| format!("{reason:?}").to_lowercase())
        }),
        "MESSAGE to refusal" => match message::to_xmpp(&request(case.input), &case.addresses(), StanzaType::Chat) {
            Ok(became) => became_text(became),
            Err(error) => {
                let failure::Refusal { status, reason, header } = failure::Refusal::of_message(error);
                assert!(header.is_empty() || header.ends_with("\r\n"), "{header:?}");
                format!("{status} {reason}\n{}", header.trim_end())
            }
        },
        "dialog-info as it is understood" => match dialog_info::Document::parse(case.input.as_bytes()) {
            Ok(document) => document.to_xml(),
            Err(error) => format!("refused: {error:?} {}", failure::body_status(error)),
        },
        "event in a dialog" => {
            let state = dialog_state(case.argument("state").unwrap());
            each_line(case.input, |event| written(state.after(dialog_event(event))))
        }
        "two states of a dialog" => each_line(case.input, |line| {
            let (one, other) = line.split_once(" | ").unwrap();
            let [one, other] = [one, other].map(dialog_state);
            assert_eq!(one.merge(other), other.merge(one), "{line}");
            written(one.merge(other))
        }),
        other => panic!("no translation is called `{other}`"),
    }
}

/// What fuzzing starts from.
fn keep_as_seed(case: &Case<'_>) {
    match case.what {
        "PIDF to presence" => seeds::keep("pidf", case.input.as_bytes()),
        "watcherinfo to waiting watchers" => seeds::keep("winfo", case.input.as_bytes()),
        "dialog-info as it is understood" => {
            seeds::keep("dialog_info", case.input.as_bytes());
            seeds::keep("dialog_event", case.input.as_bytes());
        }
        "presence to PIDF" | "presence to publication" | "message to MESSAGE" => seeds::keep("stanza", case.input.as_bytes()),
        "SIP URI to JID" => case.input.lines().for_each(|uri| seeds::keep("sip_uri", uri.as_bytes())),
        "JID to SIP URI" => case.input.lines().for_each(|jid| seeds::keep("jid", jid.as_bytes())),
        "MESSAGE to message" | "undelivered MESSAGE to notification" => {
            let request = request(case.input);
            if let Ok(wrapped) = cpim::Message::parse(&request.body) {
                seeds::keep("cpim", &request.body);
                seeds::keep("imdn", &wrapped.content.body);
            }
            let optional = |value: Option<Vec<u8>>| value.unwrap_or_default();
            let fields = [
                request.request_uri,
                request.from,
                optional(request.contact),
                request.call_id,
                request.branch,
                optional(request.content_type),
                optional(request.content_language),
                optional(request.subject),
                request.body,
            ];
            seeds::keep("message", &fields.join(&0xff));
            case.input
                .lines()
                .filter_map(|line| line.split_once(": "))
                .for_each(|(_, value)| seeds::keep("header", value.as_bytes()));
        }
        _ => {}
    }
    for event in events(case) {
        let mut bytes = Vec::new();
        datagram::encode(&event, &mut bytes);
        seeds::keep("datagram", &bytes);
    }
}

/// What a worker would tell the XMPP process of the case.
fn events(case: &Case<'_>) -> Vec<Event> {
    if let Ok(document) = pidf::Document::parse(case.input.as_bytes()) {
        let (watcher, presentity) = ("juliet@example.net", "romeo@sip.example.com");
        let presences = presence::to_xmpp(&document, presentity, watcher, None, None);
        let state = sip::header::subscription_state(b"active").unwrap();
        let notify = Notify {
            watcher: watcher.into(),
            presentity: presentity.into(),
            dialog: "1".into(),
            cseq: 7,
            state,
            retry_after: None,
            expires: None,
            presences,
            display_name: None,
        };
        return vec![Event::Notify(notify)];
    }
    if let Ok(document) = winfo::Document::parse(case.input.as_bytes()) {
        let place = event::Document { call_id: "1".into(), version: document.version, state: document.state };
        return vec![Event::Watchers(event::Watchers {
            presentity: "juliet@example.net".into(),
            waiting: watchers::waiting(&document, &case.addresses()),
            given_up: watchers::given_up(&document, &case.addresses()),
            document: Some(place),
        })];
    }
    Vec::new()
}

/// A reply as it is on the wire, or `no reply`.
fn reply_to_message_error(case: &Case<'_>) -> String {
    let reply = match case.input.split_once(' ') {
        Some(("SIP/2.0", rest)) => {
            let (status, reason) = rest.lines().next().and_then(|line| line.split_once(' ')).unwrap();
            sip::Reply::received(status.parse().unwrap(), reason.as_bytes(), case.input.as_bytes())
        }
        _ => sip::Reply::local(None),
    };
    let [from, to] = ["from", "to"].map(|name| case.argument(name).unwrap().to_owned());
    let origin = sip::Origin { from, to, id: case.argument("id").map(str::to_owned) };
    message::failed(&origin, &reply, &case.addresses(), "sip.example.com").unwrap_or("nothing".into())
}

/// `early`, `terminated rejected 486`.
fn dialog_state(text: &str) -> DialogState {
    let (name, end) = text.split_once(' ').unwrap_or((text, ""));
    DialogState::from_name(name, dialog_end(end)).expect(text)
}

/// `1xx-tag`, `rejected 486`.
fn dialog_event(text: &str) -> dialog_state::Event {
    match text {
        "1xx-notag" => dialog_state::Event::ProvisionalWithoutTag,
        "1xx-tag" => dialog_state::Event::ProvisionalWithTag,
        "2xx" => dialog_state::Event::Success,
        end => dialog_state::Event::End(dialog_end(end)),
    }
}

fn dialog_end(text: &str) -> dialog_state::End {
    let words = || text.split_whitespace();
    let code = words().find_map(|word| word.parse().ok());
    let cause = words().find(|word| word.parse::<u16>().is_err());
    dialog_state::End::new(cause.map(|name| dialog_state::Cause::from_name(name).expect(name)), code)
}

fn written(state: DialogState) -> String {
    let mut words = vec![state.name().to_owned()];
    if let DialogState::Terminated(end) = state {
        words.extend(end.cause().map(|cause| cause.name().to_owned()));
        words.extend(end.code().map(|code| code.to_string()));
    }
    words.join(" ")
}

fn uri_or_error(uri: Result<String, AddressError>) -> String {
    uri.unwrap_or_else(|error| format!("refused: {error:?} {}", named(&failure::address_error(error))))
}

fn each_line(input: &str, translate: impl Fn(&str) -> String) -> String {
    input.lines().map(translate).collect::<Vec<_>>().join("\n")
}

fn named(error: &StanzaError) -> String {
    format!("{} {}", error.condition.name(), error.error_type.name())
}

fn answer(error: Option<StanzaError>) -> String {
    error.map_or("nothing".into(), |error| named(&error))
}

fn pidf_to_presence(case: &Case<'_>) -> String {
    match pidf::Document::parse(case.input.as_bytes()) {
        Ok(document) => {
            let (from, to) = (case.argument("from").unwrap(), case.argument("to").unwrap());
            let presences = presence::to_xmpp(&document, from, to, case.argument("language"), case.argument("caps"));
            presences.into_iter().map(|presence| presence.stanza).collect::<Vec<_>>().join("\n")
        }
        Err(error) => format!("refused: {error:?} {}", failure::body_status(error)),
    }
}

fn presence_to_pidf(case: &Case<'_>) -> String {
    let stanza = Element::parse(case.input).unwrap();
    let from = case.jid("from");
    let document = ResourcePresence::read(&stanza, &from)
        .and_then(|resource| presence::to_pidf(&from, [&resource], &case.addresses()).map_err(PresenceError::From));
    match document {
        Ok(document) => document,
        Err(error) => format!("refused: {error:?} {}", answer(failure::presence_error(error))),
    }
}

/// One stanza a line.
fn resources(case: &Case<'_>) -> Vec<ResourcePresence> {
    let stanzas = case.input.lines().map(|line| Element::parse(line).unwrap());
    let resource = |stanza: Element| {
        let from = Jid::new(stanza.attribute("from").unwrap()).unwrap();
        ResourcePresence::read(&stanza, &from).unwrap()
    };
    stanzas.map(resource).collect()
}

fn presences_to_lamp(case: &Case<'_>) -> String {
    let parameters = Parameters {
        xmpp_domain: Some("sip.example.com".into()),
        xmpp_password: Some("secret".into()),
        server_address: Some("sip:gateway@sip.example.com".into()),
        contact_lamp: case.argument("contact_lamp").map(str::to_owned),
        ..Parameters::default()
    };
    let lights = Config::from_parameters(&parameters).unwrap().contact_lamp.unwrap();
    let there: Vec<_> = resources(case).into_iter().filter(|one| one.availability() == Availability::Available).collect();
    let ranks: Vec<_> = there.iter().map(ResourcePresence::rank).collect();
    let signs = ranks.iter().zip(there.iter().map(ResourcePresence::signs));
    let event = case.argument("event").map(|event| Element::parse(event).unwrap());
    let activity = event.map_or(Activity::Other, |event| Activity::of_event(&event).unwrap());
    let lamp = contact_lamp::lamp(&lights, signs, activity == Activity::OnThePhone);
    contact_lamp::document("sip:romeo@example.net", 0, Some(lamp))
}

fn presence_to_publication(case: &Case<'_>) -> String {
    let stanza = Element::parse(case.input).unwrap();
    match presence::to_sip(&stanza, &case.jid("from"), &case.addresses(), 3600) {
        Ok(publish) => {
            let body = if publish.body.is_some() { "with a PIDF" } else { "without body" };
            format!("PUBLISH {} id {} expires {} {body}", publish.presentity, publish.id, publish.expires)
        }
        Err(error) => format!("refused: {error:?} {}", answer(failure::presence_error(error))),
    }
}

fn message_to_xmpp(case: &Case<'_>) -> String {
    let stanza_type = match case.argument("type") {
        Some("normal") => StanzaType::Normal,
        _ => StanzaType::Chat,
    };
    match message::to_xmpp(&request(case.input), &case.addresses(), stanza_type) {
        Ok(became) => became_text(became),
        Err(error) => format!("refused: {error:?} {}", failure::message_status(error)),
    }
}

fn became_text(became: ToXmpp) -> String {
    match became {
        ToXmpp::Stanza(stanza, _) => stanza,
        ToXmpp::Nothing(Notification { message_id, disposition, .. }) => format!("nothing: {disposition:?} {message_id}"),
    }
}

/// Of 1 May 2026, in UTC.
const NOON: Duration = Duration::from_secs(1_777_636_800);

/// What the sender is told a minute after noon of 1 May 2026 of a MESSAGE that came at noon.
fn message_to_notification(case: &Case<'_>) -> String {
    let addresses = case.addresses();
    let wanted = match message::to_xmpp(&request(case.input), &addresses, StanzaType::Chat) {
        Ok(ToXmpp::Stanza(_, Some(wanted))) => wanted,
        Ok(ToXmpp::Stanza(_, None) | ToXmpp::Nothing(_)) => return "nothing".into(),
        Err(error) => panic!("{error}"),
    };
    let [came, now] =
        [0, 60].map(|seconds| SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds).saturating_add(NOON)).unwrap());
    let times = Times { came, now };
    let limit = case.argument("limit").map_or(message::DEFAULT_LIMIT, |limit| limit.parse().unwrap());
    match disposition::failed(&wanted, times, &addresses, 0x2a, limit) {
        Ok(sip) => {
            assert_eq!((sip.call_id.as_ref(), sip.origin.as_ref()), (None, None), "nobody is notified of a notification");
            sip_text(&sip)
        }
        Err(error) => format!("refused: {error:?}"),
    }
}

fn sip_text(sip: &sip::Message) -> String {
    let call_id = sip.call_id.as_ref().map_or(String::new(), |call_id| format!("Call-ID: {call_id}\n"));
    let headers = sip.headers.replace("\r\n", "\n");
    assert!(!headers.contains('\r'), "{headers:?}");
    let body = String::from_utf8(sip.body.clone()).unwrap();
    format!("MESSAGE {}\nFrom: <{}>\n{call_id}{headers}\n{}", sip.to, sip.from, body.replace("\r\n", "\n"))
}

fn message_to_sip(case: &Case<'_>) -> String {
    let stanza = Element::parse(case.input).unwrap();
    let limit = case.argument("limit").map_or(message::DEFAULT_LIMIT, |limit| limit.parse().unwrap());
    let addresses = case.addresses();
    match message::to_sip(&stanza, &case.jid("from"), &case.jid("to"), &addresses, 0x2a, limit) {
        Ok(sip) => sip_text(&sip),
        Err(error) => format!("refused: {error:?} {}", answer(failure::message_error(error))),
    }
}

/// A MESSAGE in the form of RFC 3261, its lines ended by LF; `\r`, `\n` and `\xHH` in the body are what they say.
fn request(text: &str) -> sip::Request {
    let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
    let mut lines = head.lines();
    let request_uri = lines.next().and_then(|line| line.split(' ').nth(1)).unwrap();
    let mut request = sip::Request { request_uri: request_uri.into(), body: unescaped(body), ..sip::Request::default() };
    for line in lines {
        let (name, value) = line.split_once(": ").expect(line);
        match name {
            "Via" => request.branch = value.split("branch=").nth(1).unwrap_or("").into(),
            "From" => request.from = uri(value),
            "To" => request.to = uri(value),
            "Contact" => request.contact = Some(uri(value)),
            "Call-ID" => request.call_id = value.into(),
            "Content-Type" => request.content_type = Some(value.into()),
            "Content-Language" => request.content_language = Some(value.into()),
            "Max-Forwards" => request.max_forwards = Some(value.into()),
            "Subject" => request.subject = Some(unescaped(value)),
            other => panic!("no header `{other}` is read"),
        }
    }
    request
}

fn uri(value: &str) -> Vec<u8> {
    value.split_once('<').and_then(|(_, rest)| rest.split_once('>')).expect("an address in brackets").0.into()
}

fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        match (first, tail) {
            (b'\\', [b'r', after @ ..]) => (bytes.push(b'\r'), rest = after).1,
            (b'\\', [b'n', after @ ..]) => (bytes.push(b'\n'), rest = after).1,
            (b'\\', [b'x', high, low, after @ ..]) => {
                let digits = [*high, *low];
                bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap());
                rest = after;
            }
            _ => bytes.push(*first),
        }
    }
    bytes
}
