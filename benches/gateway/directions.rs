//! What is measured: the four ways through the gateway, each with the bare request it is compared with.

use std::io;
use std::time::Duration;
use std::time::Instant;

use crate::burst::BURST;
use crate::config::BARE_USER;
use crate::load::History;
use crate::load::Kind;
use crate::load::Limits;
use crate::load::Load;
use crate::load::drive;
use crate::marker::HOLE;
use crate::marker::Template;
use crate::rig::Rig;
use crate::sip_peer;
use crate::xmpp_server::COMPONENT;

/// The domain of the XMPP users.
pub(crate) const XMPP_DOMAIN: &str = "xmpp.bench";

/// Resources whose presence changes. More than the window: each change finds the one before it long finished.
const RESOURCES: usize = 512;

/// A request of the SIP peer that needs no dialog.
pub(crate) struct SipRequest {
    template: Template,
    awaited: &'static [Kind],
}

impl SipRequest {
    /// A MESSAGE to an XMPP user.
    pub(crate) fn message(port: u16) -> Self {
        Self { template: Template::new(message("romeo", port)), awaited: &[Kind::Stanza, Kind::Reply] }
    }

    /// A MESSAGE that has to wait for the XMPP server: only its reply comes at once.
    pub(crate) fn queued_message(port: u16) -> Self {
        Self::bare(Template::new(message("romeo", port)))
    }

    /// The same with a long body, to an XMPP user of another domain.
    pub(crate) fn long_queued_message(domain: &str, port: u16) -> Self {
        let body = format!("{} #m{HOLE}#", TEXT.repeat(120));
        Self::bare(Template::new(
            format!("{}{}", head("MESSAGE", "romeo", &format!("sip:romeo@{domain}"), "", port), text_body(&body)).replacen(
                XMPP_DOMAIN,
                domain,
                1,
            ),
        ))
    }

    /// The same MESSAGE, answered by the script.
    pub(crate) fn bare_message(port: u16) -> Self {
        Self::bare(Template::new(bare_message(port)))
    }

    /// A NOTIFY as the gateway gets it, answered by the script.
    pub(crate) fn bare_notify(port: u16) -> Self {
        let head = head("NOTIFY", BARE_USER, "sip:juliet@sip.bench", ";tag=a6a1c5f60faecf035a1ae5b6e96e979a-4f2d", port);
        Self::bare(sip_peer::notify(&head, "sip:juliet@sip.bench", port))
    }

    /// A PUBLISH as the gateway sends it, answered by the script.
    pub(crate) fn bare_publish(port: u16) -> Self {
        let body = format!(
            "<?xml version='1.0' encoding='UTF-8'?><presence xmlns='urn:ietf:params:xml:ns:pidf' \
             xmlns:dm='urn:ietf:params:xml:ns:pidf:data-model' xmlns:rpid='urn:ietf:params:xml:ns:pidf:rpid' \
             entity='pres:user0001@{XMPP_DOMAIN}'><tuple id='ID-balcony'><status><basic>open</basic>\
             <show xmlns='jabber:client'>away</show></status><contact priority='0.039'>sip:user0001@{XMPP_DOMAIN};gr=balcony</contact>\
             <note>On the balcony #m{HOLE}#</note></tuple><dm:person id='p1'><rpid:activities><rpid:away/></rpid:activities></dm:person>\
             </presence>"
        );
        Self::bare(Template::new(format!(
            "{}CSeq: {HOLE} PUBLISH\r\nEvent: presence\r\nExpires: 3601\r\nSIP-If-Match: e000001\r\n\
             Content-Type: application/pidf+xml\r\nContent-Length: {}\r\n\r\n{body}",
            head("PUBLISH", BARE_USER, "sip:user0001@xmpp.bench", "", port),
            body.len()
        )))
    }

    fn bare(template: Template) -> Self {
        Self { template, awaited: &[Kind::Reply] }
    }
}

impl Load for SipRequest {
    fn send(&mut self, rig: &mut Rig, _slot: usize, id: u64) {
        rig.sip.send(&self.template, id);
    }

    fn awaited(&self) -> &[Kind] {
        self.awaited
    }

    fn slots(&self) -> usize {
        4096
    }
}

/// SUBSCRIBEs of a SIP user to each of the users of [`Stanzas::watched`].
pub(crate) struct Watch {
    templates: Vec<Template>,
}

impl Watch {
    /// All of them watch, and all are let in.
    pub(crate) fn all(rig: &mut Rig, limits: &Limits, history: &mut History) -> io::Result<()> {
        let port = rig.peer_port();
        let template = |user: usize| {
            let user = format!("user{user:04}");
            let head = head("SUBSCRIBE", &user, &format!("sip:{user}@{XMPP_DOMAIN}"), "", port);
            Template::new(format!(
                "{head}CSeq: {HOLE} SUBSCRIBE\r\nContact: <sip:juliet@127.0.0.1:{port}>\r\nEvent: presence\r\nExpires: 3600\r\n\
                 Accept: application/pidf+xml\r\nContent-Length: 0\r\n\r\n"
            ))
        };
        // One at a time: an SQLite database takes one writer.
        let once = Limits { window: 1, time: Duration::from_secs(60), count: RESOURCES, pause: Duration::ZERO, ..*limits };
        let round = drive(rig, &mut Self { templates: (0..RESOURCES).map(template).collect() }, &once, history)?;
        if round.completed < RESOURCES {
            return Err(io::Error::other(format!("{} of {RESOURCES} SUBSCRIBEs were accepted", round.completed)));
        }
        // With pua the questions take their way through SUBSCRIBE and NOTIFY (presence.winfo).
        rig.rest(Duration::from_secs(2))?;
        for user in 0..RESOURCES {
            rig.xmpp
                .send_text(&format!("<presence from='user{user:04}@{XMPP_DOMAIN}' to='juliet@{COMPONENT}' type='subscribed'/>"));
        }
        rig.rest(Duration::from_secs(3))
    }
}

impl Load for Watch {
    fn send(&mut self, rig: &mut Rig, slot: usize, id: u64) {
        rig.sip.send(&self.templates[slot], id);
    }

    fn awaited(&self) -> &[Kind] {
        &[Kind::Reply]
    }

    fn slots(&self) -> usize {
        self.templates.len()
    }
}

/// NOTIFYs in the dialogs that the gateway has with the SIP peer, at most one at a time in each.
pub(crate) struct Notify {
    dialogs: usize,
}

impl Notify {
    /// Makes the dialogs: XMPP users subscribe to SIP users, and the first NOTIFY lets them.
    pub(crate) fn subscribe(rig: &mut Rig, wanted: usize, history: &mut History) -> io::Result<Self> {
        Self::subscribe_as(rig, |user| format!("watcher{user}"), wanted, history)
    }

    /// The same as these users.
    pub(crate) fn subscribe_as(
        rig: &mut Rig,
        watcher: impl Fn(usize) -> String,
        wanted: usize,
        history: &mut History,
    ) -> io::Result<Self> {
        for user in 0..wanted {
            let watcher = watcher(user);
            rig.xmpp.send_text(&format!(
                "<presence from='{watcher}@{XMPP_DOMAIN}' to='juliet{user}@{COMPONENT}' type='subscribe' id='s{user}'/>"
            ));
        }
        let deadline = Instant::now() + Duration::from_secs(5);
        let mut events = Vec::new();
        while rig.sip.dialogs() < wanted && Instant::now() < deadline {
            rig.pump(Duration::from_millis(50), &mut events)?;
        }
        if rig.sip.dialogs() < wanted {
            return Err(io::Error::other(format!("{} of {wanted} subscriptions reached the SIP peer", rig.sip.dialogs())));
        }
        // The host still has to see the answers to its SUBSCRIBEs before it knows these dialogs.
        rig.rest(Duration::from_millis(500))?;
        let mut notify = Self { dialogs: wanted };
        let once = Limits {
            window: wanted,
            time: Duration::from_secs(1),
            count: wanted,
            pause: Duration::ZERO,
            aftermath: Duration::ZERO,
        };
        let first = drive(rig, &mut notify, &once, history)?;
        if first.lost() > 0 {
            return Err(io::Error::other(format!("{} of {wanted} first NOTIFYs became no presence", first.lost())));
        }
        Ok(notify)
    }
}

impl Load for Notify {
    fn send(&mut self, rig: &mut Rig, slot: usize, id: u64) {
        rig.sip.notify(slot, id);
    }

    fn awaited(&self) -> &[Kind] {
        &[Kind::Stanza, Kind::Reply]
    }

    fn slots(&self) -> usize {
        self.dialogs
    }
}

/// Stanzas of the XMPP server.
pub(crate) struct Stanzas {
    templates: Vec<Template>,
    slots: usize,
    awaited: &'static [Kind],
}

impl Stanzas {
    /// Presence of many resources; each stanza says something new.
    pub(crate) fn presence() -> Self {
        let template = |resource: usize| {
            Template::new(format!(
                "<presence from='user{:04}@{XMPP_DOMAIN}/balcony{resource:04}' to='juliet@{COMPONENT}'><show>away</show>\
                 <status>On the balcony #m{HOLE}#</status><priority>5</priority></presence>",
                resource / 4
            ))
        };
        Self { templates: (0..RESOURCES).map(template).collect(), slots: RESOURCES, awaited: &[Kind::Publish] }
    }

    /// Presence of users of one resource each, who are watched by a SIP user at the presence server of the host.
    pub(crate) fn watched() -> Self {
        let template = |user: usize| {
            Template::new(format!(
                "<presence from='user{user:04}@{XMPP_DOMAIN}/balcony' to='juliet@{COMPONENT}'><show>away</show>\
                 <status>On the balcony #m{HOLE}#</status><priority>5</priority></presence>"
            ))
        };
        Self { templates: (0..RESOURCES).map(template).collect(), slots: RESOURCES, awaited: &[Kind::Notify] }
    }

    /// Chat messages to a SIP user, in as many conversations at once as there are users.
    pub(crate) fn message() -> Self {
        let template = |user| {
            Template::new(format!(
                "<message from='romeo{user:02}@{XMPP_DOMAIN}/orchard' to='juliet@{COMPONENT}' type='chat' id='x{HOLE}'>\
                 <body>{TEXT} #m{HOLE}#</body></message>"
            ))
        };
        Self { templates: (0..CONVERSATIONS).map(template).collect(), slots: BURST, awaited: &[Kind::Message] }
    }
}

impl Load for Stanzas {
    fn send(&mut self, rig: &mut Rig, slot: usize, id: u64) {
        rig.xmpp.send(&self.templates[slot % self.templates.len()], id);
    }

    fn awaited(&self) -> &[Kind] {
        self.awaited
    }

    fn slots(&self) -> usize {
        self.slots
    }
}

/// XMPP users who write at the same time.
const CONVERSATIONS: usize = 64;

/// The body of a message of usual length.
const TEXT: &str = "With love's light wings did I o'er-perch these walls";

/// A MESSAGE that the script answers.
pub(crate) fn bare_message(port: u16) -> String {
    message(BARE_USER, port)
}

fn message(user: &str, port: u16) -> String {
    let body = format!("{TEXT} #m{HOLE}#");
    head("MESSAGE", user, "sip:romeo@xmpp.bench", "", port) + &text_body(&body)
}

fn text_body(body: &str) -> String {
    format!("CSeq: {HOLE} MESSAGE\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// The headers that all requests outside the gateway's dialogs have.
fn head(method: &str, user: &str, to: &str, to_tag: &str, port: u16) -> String {
    format!(
        "{method} sip:{user}@{XMPP_DOMAIN} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bK-b{HOLE}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:juliet@{COMPONENT}>;tag=t{HOLE}\r\nTo: <{to}>{to_tag}\r\n\
         Call-ID: c{HOLE}@127.0.0.1\r\n"
    )
}
