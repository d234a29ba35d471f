//! A gateway with nothing around it: what goes in, and one line for each thing that comes out.

use std::time::Duration;
use std::time::Instant;
use std::time::SystemTime;

use xmpp_gateway::config::Config;
use xmpp_gateway::config::Parameters;
use xmpp_gateway::gateway::Gateway;
use xmpp_gateway::gateway::action::Action;
use xmpp_gateway::gateway::event::Event;
use xmpp_gateway::gateway::event::Notify;
use xmpp_gateway::gateway::event::SubscribeReply;
use xmpp_gateway::gateway::event::Watchers;
use xmpp_gateway::sip;
use xmpp_gateway::sip::SubscriptionState;
use xmpp_gateway::translate::presence::Availability;
use xmpp_gateway::translate::presence::TuplePresence;
use xmpp_gateway::xmpp::element::Element;
use xmpp_gateway::xmpp::fault::Fault;
use xmpp_gateway::xmpp::framer::Refused;
use xmpp_gateway::xmpp::head::Head;

/// The time of day: the beginning of 1970.
pub const WALL: SystemTime = SystemTime::UNIX_EPOCH;
pub const ROMEO: &str = "romeo@example.net";
pub const JULIET: &str = "juliet@sip.example.com";

/// The first component.
pub const DOMAIN: &str = "sip.example.com";

pub struct Scene {
    pub gateway: Gateway,
    pub now: Instant,
    /// What the next NOTIFYs say of it.
    pub retry_after: Option<u32>,
    /// What the next NOTIFYs say of the time that is left.
    pub expires: Option<u32>,
    cseq: u32,
}

impl Scene {
    /// With the stream up and nothing remembered.
    pub fn new() -> Self {
        Self::with(Parameters { rate_limit: Some(0), rate_limit_domain: Some(0), ..Parameters::default() })
    }

    /// The same with these parameters too.
    pub fn with(parameters: Parameters) -> Self {
        Self::of(&[DOMAIN], parameters)
    }

    /// With these components, of which the first has a stream.
    pub fn of_components(domains: &[&str]) -> Self {
        Self::of(domains, Parameters { rate_limit: Some(0), rate_limit_domain: Some(0), ..Parameters::default() })
    }

    fn of(domains: &[&str], parameters: Parameters) -> Self {
        Self::configured(&config(domains, parameters))
    }

    pub fn configured(config: &Config) -> Self {
        let mut scene = Self::before_any_stream(config);
        assert_eq!(scene.stream_up(), Vec::<String>::new());
        scene
    }

    pub fn before_any_stream(config: &Config) -> Self {
        let now = Instant::now();
        Self { gateway: Gateway::new(config, now, 1), now, retry_after: None, expires: None, cseq: 0 }
    }

    pub fn stream_up(&mut self) -> Vec<String> {
        self.stream_up_of(DOMAIN)
    }

    pub fn stream_up_of(&mut self, domain: &str) -> Vec<String> {
        let mut actions = Vec::new();
        self.gateway.stream_up(self.now, domain, &mut actions);
        lines(actions)
    }

    pub fn stream_down(&mut self) {
        self.gateway.stream_down(DOMAIN);
    }

    /// The host stops.
    pub fn stop(&mut self) -> Vec<String> {
        let mut actions = Vec::new();
        self.gateway.stop(&mut actions);
        lines(actions)
    }

    /// A stanza arrives from the XMPP server.
    pub fn stanza(&mut self, xml: &str) -> Vec<String> {
        let mut actions = Vec::new();
        self.gateway.stanza(self.now, WALL, &Element::parse(xml).unwrap(), &mut actions).unwrap();
        self.gateway.all_read(self.now, &mut actions);
        lines(actions)
    }

    /// Stanzas that are read together.
    pub fn stanzas(&mut self, stanzas: &[String]) -> Vec<String> {
        let mut actions = Vec::new();
        for xml in stanzas {
            self.gateway.stanza(self.now, WALL, &Element::parse(xml).unwrap(), &mut actions).unwrap();
        }
        self.gateway.all_read(self.now, &mut actions);
        lines(actions)
    }

    /// A stanza beyond a limit arrives; only its start tag is left.
    pub fn refused(&mut self, xml: Option<&str>, fault: Fault) -> Vec<String> {
        let mut actions = Vec::new();
        let stanza = xml.map(|xml| Element::parse(xml).unwrap());
        self.gateway.refused(&Refused { stanza, fault }, &mut actions);
        lines(actions)
    }

    /// Romeo (XMPP) sends Juliet (SIP) a presence stanza of this type.
    pub fn romeo(&mut self, kind: &str) -> Vec<String> {
        self.stanza(&format!("<presence from='{ROMEO}' to='{JULIET}' type='{kind}'/>"))
    }

    /// A NOTIFY of the dialog in which Romeo watches Juliet.
    pub fn notify(&mut self, state: SubscriptionState, resources: &[(&str, Availability)]) -> Vec<String> {
        self.cseq += 1;
        self.notify_as("1@gateway", self.cseq, state, resources)
    }

    pub fn notify_as(
        &mut self,
        dialog: &str,
        cseq: u32,
        state: SubscriptionState,
        resources: &[(&str, Availability)],
    ) -> Vec<String> {
        let presences = resources
            .iter()
            .map(|(resource, availability)| TuplePresence {
                resource: (*resource).to_owned(),
                availability: *availability,
                stanza: match availability {
                    Availability::Available => format!("<presence from='{JULIET}/{resource}' to='{ROMEO}'/>"),
                    Availability::Unavailable => {
                        format!("<presence from='{JULIET}/{resource}' to='{ROMEO}' type='unavailable'/>")
                    }
                },
            })
            .collect();
        self.event(Event::Notify(Notify {
            watcher: ROMEO.into(),
            presentity: JULIET.into(),
            dialog: dialog.into(),
            cseq,
            state,
            retry_after: self.retry_after,
            expires: self.expires,
            display_name: Some("Juliet Capulet".into()),
            presences,
        }))
    }

    /// The final reply to the SUBSCRIBE of Romeo to Juliet.
    pub fn reply(&mut self, status: u16) -> Vec<String> {
        self.reply_with(status, None, None, None)
    }

    pub fn reply_with(
        &mut self,
        status: u16,
        text: Option<&str>,
        address: Option<&str>,
        retry_after: Option<u32>,
    ) -> Vec<String> {
        let [text, address] = [text, address].map(|text| text.map(str::to_owned));
        self.event(Event::SubscribeReply(SubscribeReply { text, address, retry_after, ..reply(status) }))
    }

    pub fn event(&mut self, event: Event) -> Vec<String> {
        let mut actions = Vec::new();
        self.gateway.event(self.now, event, &mut actions);
        lines(actions)
    }

    /// A stanza that waited for the stream is dropped.
    pub fn lost(&mut self, xml: &str) -> Vec<String> {
        let mut actions = Vec::new();
        self.gateway.lost(self.now, WALL, &Head::of(xml.as_bytes()).unwrap(), &mut actions);
        lines(actions)
    }

    /// So much time passes.
    pub fn pass(&mut self, time: Duration) -> Vec<String> {
        self.now += time;
        let mut actions = Vec::new();
        self.gateway.tick(self.now, &mut actions);
        lines(actions)
    }
}

/// These SIP users subscribe to Romeo, or to another, at the presence server of this host.
pub fn watchers(presentity: &str, waiting: &[&str]) -> Event {
    let waiting = waiting.iter().map(|watcher| (*watcher).to_owned()).collect();
    Event::Watchers(Watchers { presentity: presentity.into(), waiting, given_up: Vec::new(), document: None })
}

/// The final reply to a SUBSCRIBE of Romeo to Juliet, with nothing but its status.
pub fn reply(status: u16) -> SubscribeReply {
    SubscribeReply {
        watcher: ROMEO.into(),
        presentity: JULIET.into(),
        status,
        text: None,
        address: None,
        retry_after: None,
        expires: None,
        dialog: None,
        min_expires: None,
    }
}

pub fn config(domains: &[&str], parameters: Parameters) -> Config {
    let parameters = Parameters {
        xmpp_component: domains.iter().map(|domain| format!("domain={domain};secret=secret").as_str().into()).collect(),
        server_address: Some("sip:gateway@sip.example.com".into()),
        ..parameters
    };
    Config::from_parameters(&parameters).unwrap()
}

pub fn lines(actions: Vec<Action>) -> Vec<String> {
    actions
        .into_iter()
        .map(|action| match action {
            Action::Stanza(stanza) => stanza,
            Action::Message(message) => format!("MESSAGE {} -> {}", message.from, message.to),
            Action::Publish(sip::Publish { presentity, body: Some(_), expires, .. }) => {
                format!("PUBLISH {presentity} for {expires}")
            }
            Action::Publish(sip::Publish { presentity, body: None, .. }) => format!("PUBLISH {presentity} ends"),
            Action::Withdraw(sip::Withdrawal { presentity, entity_tag }) => format!("PUBLISH {presentity} ends for {entity_tag}"),
            Action::TellWatchers(presentity) => format!("the watchers of {presentity} are told"),
            Action::Lamp(sip::Publish { presentity, body, .. }) => {
                format!("lamp of {presentity} {}", if body.is_some() { "on" } else { "off" })
            }
            Action::Subscribe(sip::Subscribe { event: sip::Event::Presence, watcher, presentity, expires }) => {
                format!("SUBSCRIBE {watcher} -> {presentity} for {expires}")
            }
            Action::Subscribe(sip::Subscribe { event: sip::Event::PresenceWinfo, watcher, presentity, expires }) => {
                format!("SUBSCRIBE {watcher} -> watchers of {presentity} for {expires}")
            }
            Action::Notify(notify) => notify_line(&notify),
            Action::EndDialog(dialog) => format!("dialog {} is over", dialog.call_id()),
            Action::Authorize { watcher, presentity_uri, decision, .. } => {
                format!("{presentity_uri} answers {watcher}: {decision:?}")
            }
        })
        .collect()
}

pub fn presence(from: &str, kind: &str) -> String {
    format!("<presence from='{from}' to='{ROMEO}' type='{kind}'/>")
}

pub const NOTHING: [&str; 0] = [];
pub const SUBSCRIBED_FOR_AN_HOUR: [&str; 1] = ["SUBSCRIBE sip:romeo@example.net -> sip:juliet@sip.example.com for 3600"];

/// `NOTIFY call-id cseq: Subscription-State`, and each tuple as its id and what it says, or of a lamp the version and its dialogs.
fn notify_line(notify: &sip::Notify) -> String {
    let header = |name: &str| notify.headers.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().to_owned();
    let mut line = format!("NOTIFY {} {}: {}", notify.dialog.call_id(), notify.cseq, header("Subscription-State: "));
    assert_eq!(header("Content-Type: ").is_empty(), notify.body.is_empty());
    let package = notify.dialog.package();
    assert_eq!(header("Event: ").split(';').next(), Some(package.name()));
    if !notify.body.is_empty() && package == sip::Package::Dialog {
        assert_eq!(header("Content-Type: "), "application/dialog-info+xml");
        let document = sip::dialog_info::Document::parse(&notify.body).unwrap();
        assert_eq!((&*document.entity, document.state), ("sip:romeo@example.net", sip::dialog_info::State::Full));
        line += &format!(" v{}", document.version);
        for dialog in document.dialogs {
            line += &format!(" {}={}", dialog.id, dialog.state.name());
        }
    } else if !notify.body.is_empty() {
        assert_eq!(header("Content-Type: "), "application/pidf+xml");
        let document = sip::pidf::Document::parse(&notify.body).unwrap();
        for tuple in document.tuples {
            let show = tuple.show.map_or("", sip::pidf::Show::name);
            line += &format!(" {}={:?}{show}", tuple.id, tuple.basic.unwrap());
        }
    }
    line
}
