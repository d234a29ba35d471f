//! One phone's session in its user's account: login, presence, and answers to what comes in (RFC 6120, RFC 6121).
//!
//! ```text
//!  transport elements --> Login --> Up: presence as it is to be shown, activity by PEP --> Over
//! ```
//!
//! Sans-IO, and above the transport. The driver feeds it elements, does its [`Step`]s, and says by [`Session::show`] what is to be seen.
//! It asks for no roster and answers no request for a subscription: the user's other clients do that.

use std::collections::VecDeque;

use crate::phone::account::Account;
use crate::phone::presence;
use crate::phone::presence::Activity;
use crate::phone::state::Shown;
use crate::xml::XmlWriter;
use crate::xmpp::client;
use crate::xmpp::client::Login;
use crate::xmpp::client::Security;
use crate::xmpp::disco;
use crate::xmpp::element::Element;
use crate::xmpp::ns;
use crate::xmpp::stanza;
use crate::xmpp::stanza::IqType;
use crate::xmpp::stanza::Kind;
use crate::xmpp::stanza::MessageType;
use crate::xmpp::stanza_error::Condition;
use crate::xmpp::stanza_error::StanzaError;
use crate::xmpp::stream_error::StreamError;

/// One session, over one transport.
#[derive(Debug)]
pub struct Session {
    stage: Stage,
    /// What is to be seen, and who the other side of the call is.
    wanted: View,
    /// What was said last.
    said: Option<View>,
    activity: Personal,
    /// Number of the next request of ours.
    next_id: u32,
    takes_messages: TakesMessages,
    steps: VecDeque<Step>,
}

/// What the driver does for a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Send this.
    Send(String),
    /// Send this answer to somebody else, if there is room for it: who asks more than can be answered does not end the session.
    Answer(String),
    /// Begin TLS, and a new stream over it.
    BeginTls,
    /// Begin a new stream.
    Restart,
    /// The login is done.
    Up,
    /// The SIP user is to get this message.
    Message(Element),
    /// All was said that was to be said: end the transport.
    Close,
    /// There is no session any more.
    Ended(Ended),
}

/// Why there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// The login failed.
    Login(client::Error),
    /// The server ended its stream, with this error.
    Stream(StreamError),
}

/// What others see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// The presence, finished; `None`: unavailable.
    presence: Option<String>,
    activity: Activity,
}

#[derive(Debug)]
enum Stage {
    Login(Box<Login>),
    /// Under this full JID.
    Up(String),
    /// The presence was taken back, or the transport is gone.
    Over,
}

/// Whether the server has personal eventing for the account (XEP-0163), and what it was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Personal {
    /// It is not to be used.
    Unwanted,
    /// Not known yet.
    Unknown,
    /// It has none.
    None,
    /// It has, and was asked what it holds.
    Asked,
    /// It has, and holds this of ours.
    Holds(Activity),
}

/// Whether messages to this resource go to the phone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TakesMessages {
    Yes,
    No,
}

impl View {
    /// What an account shows of a state, and of the other side of its call if it names that.
    pub fn of(account: &Account, shown: Shown, other: Option<&str>) -> Self {
        let other = other.filter(|_| account.wishes.names_other && Activity::of(shown) == Activity::OnThePhone);
        Self { presence: account.looks.of(shown).map(|look| look.presence(other)), activity: Activity::of(shown) }
    }

    /// Nothing of one phone, while others of the account show this: what the account does is left to them.
    pub fn without(shown: Shown) -> Self {
        Self { presence: None, activity: Activity::of(shown) }
    }

    /// Whether nothing is to be seen.
    pub fn is_offline(&self) -> bool {
        self.presence.is_none()
    }
}

impl Session {
    /// A session to log in to an account, with this resource.
    pub fn new(account: &Account, resource: &str, security: Security, wanted: View) -> Self {
        let user = account.jid.node().map(|node| node.as_str().to_owned()).unwrap_or_default();
        let login = Login::new(&user, Some(resource), account.proof.clone(), security);
        Self::with(account, Stage::Login(Box::new(login)), wanted)
    }

    /// A session that another process logged in under this full JID. What it said is not known: all is said again.
    pub fn resume(account: &Account, jid: &str, wanted: View) -> Self {
        let mut session = Self::with(account, Stage::Up(jid.to_owned()), wanted);
        session.begin();
        session
    }

    fn with(account: &Account, stage: Stage, wanted: View) -> Self {
        let activity = if account.wishes.hides_activity { Personal::Unwanted } else { Personal::Unknown };
        let takes_messages = if account.wishes.takes_messages { TakesMessages::Yes } else { TakesMessages::No };
        Self { stage, wanted, said: None, activity, next_id: 0, takes_messages, steps: VecDeque::new() }
    }

    /// What is to be seen from now on. What others see already is not said again.
    pub fn show(&mut self, view: View) {
        self.wanted = view;
        self.say();
    }

    /// Takes an element of the stream.
    pub fn element(&mut self, element: &Element) {
        if let Some(error) = StreamError::of(element) {
            return self.end(Ended::Stream(error));
        }
        match &mut self.stage {
            Stage::Login(login) => match login.element(element) {
                None => {}
                Some(client::Step::Send(xml)) => self.steps.push_back(Step::Send(xml)),
                Some(client::Step::BeginTls) => self.steps.push_back(Step::BeginTls),
                Some(client::Step::Restart) => self.steps.push_back(Step::Restart),
                Some(client::Step::Ready(jid)) => {
                    self.stage = Stage::Up(jid);
                    self.begin();
                }
                Some(client::Step::Failed(error)) => self.end(Ended::Login(error)),
            },
            Stage::Up(_) => match Kind::of(element) {
                Some(Kind::Iq) => self.iq(element),
                Some(Kind::Message) => self.message(element),
                // Those who are seen by the user are none of the phone's business.
                Some(Kind::Presence) | None => {}
            },
            Stage::Over => {}
        }
    }

    /// Sends an answer that took its time: it is in the name of the full JID that was asked.
    pub fn answer_late(&mut self, xml: String) {
        if self.jid().is_some() {
            self.steps.push_back(Step::Send(xml));
        }
    }

    /// What is to be done next.
    pub fn step(&mut self) -> Option<Step> {
        self.steps.pop_front()
    }

    /// The step, still to be done, after which nothing of this stream counts any more.
    pub fn stream_end(&self) -> Option<&Step> {
        self.steps.iter().find(|step| matches!(step, Step::BeginTls | Step::Restart))
    }

    /// The full JID, while it is logged in.
    pub fn jid(&self) -> Option<&str> {
        match &self.stage {
            Stage::Up(jid) => Some(jid),
            Stage::Login(_) | Stage::Over => None,
        }
    }

    fn begin(&mut self) {
        self.steps.push_back(Step::Up);
        self.say();
        if self.activity == Personal::Unknown && self.jid().is_some() {
            let mut xml = XmlWriter::new();
            xml.open("iq").attribute("type", "get").attribute("id", FEATURES_ID).attribute("to", self.bare());
            xml.open("query").attribute("xmlns", ns::DISCO_INFO);
            self.steps.push_back(Step::Send(xml.finish()));
        }
    }

    /// Says what is wanted and was not said.
    fn say(&mut self) {
        if self.jid().is_none() {
            // A login on its way is not wanted any more: without presence nobody has seen it.
            if self.wanted.is_offline() && matches!(self.stage, Stage::Login(_)) {
                self.stage = Stage::Over;
                self.steps.push_back(Step::Close);
            }
            return;
        }
        self.say_activity();
        if self.said.as_ref().map(|said| &said.presence) == Some(&self.wanted.presence) {
            return;
        }
        self.said = Some(self.wanted.clone());
        match &self.wanted.presence {
            Some(presence) => self.steps.push_back(Step::Send(presence.clone())),
            None => {
                self.steps.extend([Step::Send(presence::unavailable()), Step::Close]);
                self.stage = Stage::Over;
            }
        }
    }

    fn say_activity(&mut self) {
        match self.activity {
            Personal::Unwanted | Personal::Unknown | Personal::None => {}
            // What another client of the user says is left alone, until there is something to say.
            Personal::Asked if self.wanted.activity == Activity::None => {}
            Personal::Holds(held) if held == self.wanted.activity => {}
            Personal::Asked | Personal::Holds(_) => {
                self.activity = Personal::Holds(self.wanted.activity);
                self.next_id = self.next_id.wrapping_add(1);
                self.steps.push_back(Step::Send(self.wanted.activity.publication(&format!("activity-{}", self.next_id))));
            }
        }
    }

    fn iq(&mut self, iq: &Element) {
        let Some(kind) = IqType::of(iq) else { return };
        match kind {
            IqType::Result | IqType::Error => self.answered(iq, kind),
            IqType::Get | IqType::Set => {
                let answer = match answer(iq, kind) {
                    Some(payload) => stanza::iq_result(iq, payload.as_deref()).or_else(|| own_result(iq, payload.as_deref())),
                    None => stanza::error_reply(iq, &Condition::ServiceUnavailable.into()).or_else(|| own_error(iq)),
                };
                self.steps.extend(answer.map(Step::Answer));
            }
        }
    }

    /// The answer to what we asked the account: has its server personal eventing, and what does it hold?
    fn answered(&mut self, iq: &Element, kind: IqType) {
        if !iq.attribute("from").is_none_or(|from| from.eq_ignore_ascii_case(self.bare())) {
            return;
        }
        match (iq.attribute("id"), self.activity) {
            (Some(FEATURES_ID), Personal::Unknown) if kind == IqType::Result && has_personal_eventing(iq) => {
                self.activity = Personal::Asked;
                self.say_activity();
                if self.activity == Personal::Asked {
                    self.steps.push_back(Step::Send(presence::activity_request(HELD_ID)));
                }
            }
            (Some(FEATURES_ID), Personal::Unknown) => self.activity = Personal::None,
            // An activity outlives the session that published it: one that was left behind is taken back.
            (Some(HELD_ID), Personal::Asked) => {
                self.activity = Personal::Holds(Activity::held(iq));
                self.say_activity();
            }
            _ => {}
        }
    }

    fn message(&mut self, message: &Element) {
        match MessageType::of(message) {
            MessageType::Error | MessageType::Groupchat | MessageType::Headline => return,
            MessageType::Chat | MessageType::Normal => {}
        }
        // Copies for all resources (XEP-0280) and events of PEP have no text of their own, and ask for no answer.
        if message.child("body", ns::CLIENT).is_none() {
            return;
        }
        match self.takes_messages {
            TakesMessages::Yes => self.steps.push_back(Step::Message(message.clone())),
            TakesMessages::No => {
                let refused = stanza::error_reply(message, &StanzaError::from(Condition::ServiceUnavailable));
                self.steps.extend(refused.map(Step::Answer));
            }
        }
    }

    fn end(&mut self, ended: Ended) {
        if !matches!(self.stage, Stage::Over) {
            self.stage = Stage::Over;
            self.steps.push_back(Step::Ended(ended));
        }
    }

    fn bare(&self) -> &str {
        self.jid().map(stanza::bare).unwrap_or_default()
    }
}

fn has_personal_eventing(iq: &Element) -> bool {
    let is_pep = |child: &Element| {
        child.is("identity", ns::DISCO_INFO)
            && (child.attribute("category"), child.attribute("type")) == (Some("pubsub"), Some("pep"))
    };
    iq.child("query", ns::DISCO_INFO).is_some_and(|query| query.children().any(is_pep))
}

/// The payload of the answer to a request; `None`: there is no such service.
fn answer(iq: &Element, kind: IqType) -> Option<Option<String>> {
    let payload = iq.children().next().filter(|_| kind == IqType::Get)?;
    match (payload.name(), payload.ns()) {
        ("ping", ns::PING) => Some(None),
        ("query", ns::DISCO_INFO) if payload.attribute("node").is_none() => Some(Some(identity())),
        ("query", ns::DISCO_ITEMS) if payload.attribute("node").is_none() => Some(Some(disco::no_items(None))),
        _ => None,
    }
}

/// What the session is (XEP-0030, registrar of identities): a phone.
fn identity() -> String {
    let mut xml = XmlWriter::new();
    xml.open("query").attribute("xmlns", ns::DISCO_INFO);
    xml.open("identity").attribute("category", "client").attribute("type", "phone").close();
    for feature in [ns::DISCO_INFO, ns::DISCO_ITEMS, ns::PING] {
        xml.open("feature").attribute("var", feature).close();
    }
    xml.finish()
}

/// A request without `from` is the account's own server's (RFC 6120 §8.1.2.1): so is the answer without `to`.
fn own_result(iq: &Element, payload: Option<&str>) -> Option<String> {
    let mut xml = own_reply(iq, "result")?;
    if let Some(payload) = payload {
        xml.element(payload);
    }
    Some(xml.finish())
}

fn own_error(iq: &Element) -> Option<String> {
    let mut xml = own_reply(iq, "error")?;
    xml.open("error").attribute("type", "cancel").open("service-unavailable").attribute("xmlns", ns::STANZA_ERRORS);
    Some(xml.finish())
}

fn own_reply(iq: &Element, reply: &str) -> Option<XmlWriter> {
    if iq.attribute("from").is_some() {
        return None;
    }
    let mut xml = XmlWriter::new();
    xml.open("iq").attribute("type", reply).attribute_if("id", iq.attribute("id"));
    Some(xml)
}

const FEATURES_ID: &str = "account";
const HELD_ID: &str = "held";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phone::account::Row;
    use crate::phone::presence::Looks;

    const JID: &str = "juliet@example.com/SIP-phone";

    fn account(flags: i64) -> Account {
        let row =
            Row { sip_uri: "sip:juliet@example.com", jid: "juliet@example.com", password: "pencil", flags, ..Row::default() };
        Account::of(&row, &Looks::default()).unwrap()
    }

    fn view(shown: Shown) -> View {
        View::of(&account(0), shown, Some("Romeo"))
    }

    struct Scene(Session);

    impl Scene {
        /// Logged in, online, at a server with personal eventing.
        fn up(flags: i64) -> Self {
            let mut scene = Self(Session::resume(&account(flags), JID, view(Shown::Online)));
            scene.steps();
            scene.take(
                "<iq type='result' id='account'><query xmlns='http://jabber.org/protocol/disco#info'>\
                <identity category='pubsub' type='pep'/></query></iq>",
            );
            scene
        }

        fn steps(&mut self) -> Vec<String> {
            let shown = |step| match step {
                Step::Send(xml) | Step::Answer(xml) => xml,
                Step::Message(message) => format!("message: {}", message.child("body", ns::CLIENT).unwrap().text()),
                Step::Ended(ended) => format!("{ended:?}"),
                Step::BeginTls | Step::Restart | Step::Up | Step::Close => format!("{step:?}"),
            };
            std::iter::from_fn(|| self.0.step()).map(shown).collect()
        }

        fn take(&mut self, xml: &str) -> Vec<String> {
            self.0.element(&Element::parse(xml).unwrap());
            self.steps()
        }

        fn show(&mut self, shown: Shown) -> Vec<String> {
            self.0.show(view(shown));
            self.steps()
        }
    }

    const ONLINE: &str = "<presence><priority>-1</priority></presence>";
    const CALL: &str = "<presence><show>dnd</show><status>On the phone</status><priority>-1</priority></presence>";

    #[test]
    fn a_login_ends_in_presence() {
        let mut scene = Scene(Session::new(&account(0), "SIP-phone", Security::Encrypted, view(Shown::OnThePhone)));
        let auth = scene.take(
            "<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN</mechanism>\
            </mechanisms></stream:features>",
        );
        assert!(auth[0].starts_with("<auth "));
        assert_eq!(scene.take("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>"), ["Restart"]);
        let bind = scene.take("<stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></stream:features>");
        assert!(bind[0].contains("<resource>SIP-phone</resource>"));
        assert_eq!(scene.show(Shown::Online), [""; 0], "nobody sees it yet");
        let up = scene.take(&format!(
            "<iq type='result' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>{JID}</jid></bind></iq>"
        ));
        let features =
            "<iq type='get' id='account' to='juliet@example.com'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>";
        assert_eq!(up, ["Up", ONLINE, features]);
    }

    #[test]
    fn what_others_see_already_is_not_said_again() {
        let mut scene = Scene::up(8);
        assert_eq!(scene.show(Shown::Online), [""; 0]);
        assert_eq!(scene.show(Shown::OnThePhone), [CALL]);
        assert_eq!(scene.show(Shown::OnHold), [""; 0], "it looks the same");
        assert_eq!(scene.show(Shown::Online), [ONLINE]);
    }

    #[test]
    fn the_activity_is_published_and_taken_back_where_the_server_has_personal_eventing() {
        let mut scene = Scene::up(0);
        let call = scene.show(Shown::OnThePhone);
        assert!(call[0].contains("<talking><on_the_phone/></talking>") && call[0].contains("id='activity-1'"), "{call:?}");
        assert_eq!(call[1], CALL);
        let over = scene.show(Shown::Online);
        assert!(over[0].contains("<activity xmlns='http://jabber.org/protocol/activity'/>"));
        let gone = scene.show(Shown::Offline);
        assert_eq!(gone, ["<presence type='unavailable'/>", "Close"]);
        let mut none = Scene(Session::resume(&account(0), JID, view(Shown::Online)));
        none.steps();
        none.take("<iq type='error' id='account'/>");
        assert_eq!(none.show(Shown::OnThePhone), [CALL]);
    }

    #[test]
    fn only_an_activity_that_was_left_behind_is_taken_back() {
        let after = |activity: &str| {
            let mut scene = Scene(Session::resume(&account(0), JID, view(Shown::Online)));
            scene.steps();
            let found = "<iq type='result' id='account' from='juliet@example.com'><query xmlns='http://jabber.org/protocol/disco#info'>\
                <identity category='pubsub' type='pep'/></query></iq>";
            assert!(scene.take(&found.replace("juliet@", "eve@")).is_empty(), "somebody else's answer");
            let asked = "<iq type='get' id='held'><pubsub xmlns='http://jabber.org/protocol/pubsub'>\
                <items node='http://jabber.org/protocol/activity' max_items='1'/></pubsub></iq>";
            assert_eq!(scene.take(found), [asked]);
            scene.take(&format!(
                "<iq type='result' id='held'><pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='http://jabber.org/protocol/activity'>\
                <item id='x'><activity xmlns='http://jabber.org/protocol/activity'>{activity}</activity></item></items></pubsub></iq>"
            ))
        };
        assert!(
            after("<talking><on_the_phone/></talking>")[0].contains("<activity xmlns='http://jabber.org/protocol/activity'/>")
        );
        assert!(after("<relaxing><partying/></relaxing>").is_empty(), "another client's");
        assert!(after("<talking/>").is_empty());
    }

    #[test]
    fn a_phone_that_goes_takes_its_presence_back_first() {
        let mut scene = Scene::up(0);
        assert_eq!(scene.show(Shown::Offline), ["<presence type='unavailable'/>", "Close"]);
        assert_eq!(scene.show(Shown::Online), [""; 0], "the next login takes another session");
        let mut early = Scene(Session::new(&account(0), "SIP-phone", Security::Encrypted, view(Shown::Online)));
        assert_eq!(early.show(Shown::Offline), ["Close"]);
    }

    #[test]
    fn one_phone_of_several_takes_no_activity_back() {
        let mut scene = Scene::up(0);
        scene.show(Shown::OnThePhone);
        scene.0.show(View::without(Shown::OnThePhone));
        assert_eq!(scene.steps(), ["<presence type='unavailable'/>", "Close"]);
    }

    #[test]
    fn the_other_side_is_named_by_accounts_that_want_it() {
        let named = View::of(&account(2), Shown::OnThePhone, Some("Romeo"));
        assert!(named.presence.unwrap().contains("On the phone: Romeo"));
        assert!(!view(Shown::OnThePhone).presence.unwrap().contains("Romeo"));
    }

    #[test]
    fn requests_are_answered() {
        let mut scene = Scene::up(0);
        let ask = |from: &str, payload: &str| format!("<iq type='get' id='1' {from} to='{JID}'>{payload}</iq>");
        let ping = "<ping xmlns='urn:xmpp:ping'/>";
        let from = "from='romeo@example.net/o'";
        assert_eq!(scene.take(&ask(from, ping)), [format!("<iq type='result' from='{JID}' to='romeo@example.net/o' id='1'/>")]);
        assert_eq!(scene.take(&ask("", ping)), ["<iq type='result' id='1'/>"]);
        assert!(scene.take(&ask(from, "<query xmlns='http://jabber.org/protocol/disco#info'/>"))[0].contains("type='phone'"));
        for payload in ["<query xmlns='jabber:iq:version'/>", ""] {
            assert!(scene.take(&ask(from, payload))[0].contains("<service-unavailable "), "{payload}");
        }
        assert!(scene.take(&ask("", "<x/>"))[0].contains("<service-unavailable "));
        let push = "<iq type='set' id='p1'><query xmlns='jabber:iq:roster'/></iq>";
        assert!(scene.take(push)[0].starts_with("<iq type='error' id='p1'><error"), "no roster was asked for");
    }

    #[test]
    fn a_message_goes_to_the_phone_or_back() {
        let message = "<message type='chat' from='romeo@example.net/o' id='m1'><body>Hi</body></message>";
        let refused = Scene::up(0).take(message);
        assert!(refused[0].contains("type='error'") && refused[0].contains("service-unavailable"), "{refused:?}");
        assert_eq!(Scene::up(4).take(message), ["message: Hi"]);
        for quiet in ["<message type='error'><body>x</body></message>", "<message type='chat'><active xmlns='urn:x'/></message>"]
        {
            assert!(Scene::up(4).take(quiet).is_empty() && Scene::up(0).take(quiet).is_empty());
        }
    }

    #[test]
    fn a_late_answer_is_for_a_session_that_stands() {
        let mut scene = Scene::up(4);
        scene.0.answer_late("<message type='error'/>".to_owned());
        assert_eq!(scene.steps(), ["<message type='error'/>"]);
        scene.show(Shown::Offline);
        scene.0.answer_late("<message type='error'/>".to_owned());
        assert!(scene.steps().is_empty());
    }

    #[test]
    fn subscriptions_are_left_to_other_clients() {
        for presence in ["<presence type='subscribe' from='romeo@example.net'/>", "<presence from='nurse@example.com/x'/>"] {
            assert!(Scene::up(0).take(presence).is_empty());
        }
    }

    #[test]
    fn an_error_of_the_stream_ends_it() {
        let mut scene = Scene::up(0);
        let error = "<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>";
        assert!(scene.take(error)[0].contains("Conflict"));
        assert!(scene.take(error).is_empty() && scene.show(Shown::OnThePhone).is_empty());
    }
}
