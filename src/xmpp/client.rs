//! The login of a client (RFC 6120 §5 to §7): TLS if need be, SASL, a resource.
//!
//! ```text
//!  features --> [starttls --> proceed --> features] --> auth, challenge, success --> features --> bind [--> session] --> Ready
//!                          (new stream)                             (new stream)
//! ```
//!
//! Sans-IO, and above the transport: a stream over TCP and a session over HTTP ([`bosh`](crate::xmpp::bosh)) bring the same elements.

use std::fmt;

use crate::xml::XmlWriter;
use crate::xmpp::element::Element;
use crate::xmpp::ns;
use crate::xmpp::sasl;
use crate::xmpp::sasl::Exchange;
use crate::xmpp::sasl::Proof;
use crate::xmpp::sasl::ShowPassword;
use crate::xmpp::stanza_error::Condition;
use crate::xmpp::stanza_error::StanzaError;

/// One login.
#[derive(Debug)]
pub struct Login {
    user: String,
    /// The resource to ask for; none: the server makes one.
    resource: Option<String>,
    proof: Proof,
    security: Security,
    state: State,
}

/// What protects the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// TLS does.
    Encrypted,
    /// Nothing yet: TLS has to be begun before anything is said.
    ToEncrypt,
    /// Nothing.
    Clear(ShowPassword),
}

/// What the transport has to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Send this.
    Send(String),
    /// Begin TLS on the connection, and a new stream over it.
    BeginTls,
    /// Begin a new stream.
    Restart,
    /// It is done: stanzas may be sent under this full JID.
    Ready(String),
    /// It is not possible. Close the connection.
    Failed(Error),
}

/// Why it is not possible.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// The server has no TLS, and we would not go on without.
    NoTls,
    /// The server offers no SASL, or no resource, or says something else than what has to come.
    Unexpected(&'static str),
    /// Our side of SASL went no further.
    Sasl(sasl::Error),
    /// The server has refused the login: the condition, by its name in RFC 6120 §6.5.
    Refused(Refusal),
    /// The server gives no resource, or no session.
    Resource(Condition),
}

/// Conditions of SASL (RFC 6120 §6.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The account is disabled.
    AccountDisabled,
    /// The password has run out.
    CredentialsExpired,
    /// It would have to be encrypted.
    EncryptionRequired,
    /// The mechanism is too weak for the account.
    MechanismTooWeak,
    /// The name or the password is wrong.
    NotAuthorized,
    /// It is not possible now.
    TemporaryAuthFailure,
    /// Anything else.
    Other,
}

#[derive(Debug)]
enum State {
    /// The features of a stream without login are to come.
    Features,
    /// TLS was asked for.
    Tls,
    /// SASL is under way.
    Sasl(Box<Exchange>),
    /// The features of the stream after SASL are to come.
    LoggedIn,
    /// A resource was asked for.
    Binding(SessionWanted),
    /// A session was asked for; the JID is known.
    Session(String),
    Over,
}

/// Whether the server wants to be asked for a session, as before RFC 6120.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SessionWanted {
    Yes,
    No,
}

impl Error {
    /// Whether it will be the same next time, unless somebody does something about the account.
    pub fn is_about_the_account(&self) -> bool {
        match self {
            Self::Refused(Refusal::TemporaryAuthFailure) | Self::Unexpected(_) | Self::Resource(_) => false,
            Self::Refused(_) | Self::Sasl(_) | Self::NoTls => true,
        }
    }
}

impl Login {
    /// A login as this user (the local part of the JID).
    pub fn new(user: &str, resource: Option<&str>, proof: Proof, security: Security) -> Self {
        Self { user: user.to_owned(), resource: resource.map(str::to_owned), proof, security, state: State::Features }
    }

    /// Takes an element of the stream; `None` if it is nothing to the login.
    pub fn element(&mut self, element: &Element) -> Option<Step> {
        let step = match std::mem::replace(&mut self.state, State::Over) {
            State::Features => self.features(element),
            State::Tls => self.tls(element),
            State::Sasl(exchange) => self.sasl(exchange, element),
            State::LoggedIn => self.bind(element),
            State::Binding(session) => self.bound(session, element),
            State::Session(jid) => self.session(jid, element),
            State::Over => Ok(None),
        };
        step.unwrap_or_else(|error| Some(Step::Failed(error)))
    }

    fn features(&mut self, features: &Element) -> Result<Option<Step>, Error> {
        if !features.is("features", ns::STREAMS) {
            return self.stay(State::Features);
        }
        if self.security == Security::ToEncrypt {
            features.child("starttls", ns::TLS).ok_or(Error::NoTls)?;
            return self.go(State::Tls, Step::Send(empty("starttls", ns::TLS)));
        }
        let show = match self.security {
            Security::Encrypted => ShowPassword::Allowed,
            Security::ToEncrypt => ShowPassword::Forbidden,
            Security::Clear(show) => show,
        };
        let mechanisms = features.child("mechanisms", ns::SASL).ok_or(Error::Unexpected("no SASL"))?;
        let (exchange, auth) = Exchange::begin(&self.user, &self.proof, mechanisms, show).map_err(Error::Sasl)?;
        self.go(State::Sasl(Box::new(exchange)), Step::Send(auth))
    }

    fn tls(&mut self, answer: &Element) -> Result<Option<Step>, Error> {
        if !answer.is("proceed", ns::TLS) {
            return Err(Error::NoTls);
        }
        self.security = Security::Encrypted;
        self.go(State::Features, Step::BeginTls)
    }

    fn sasl(&mut self, mut exchange: Box<Exchange>, answer: &Element) -> Result<Option<Step>, Error> {
        match (answer.name(), answer.ns()) {
            ("challenge", ns::SASL) => {
                let response = exchange.challenge(answer).map_err(Error::Sasl)?;
                self.go(State::Sasl(exchange), Step::Send(response))
            }
            ("success", ns::SASL) => {
                exchange.success(answer).map_err(Error::Sasl)?;
                self.go(State::LoggedIn, Step::Restart)
            }
            ("failure", ns::SASL) => Err(Error::Refused(Refusal::of(answer))),
            _ => Err(Error::Unexpected("something else than SASL")),
        }
    }

    fn bind(&mut self, features: &Element) -> Result<Option<Step>, Error> {
        if !features.is("features", ns::STREAMS) {
            return self.stay(State::LoggedIn);
        }
        features.child("bind", ns::BIND).ok_or(Error::Unexpected("no resource binding"))?;
        let session = match features.child("session", ns::SESSION) {
            Some(session) if session.child("optional", ns::SESSION).is_none() => SessionWanted::Yes,
            Some(_) | None => SessionWanted::No,
        };
        let request = self.bind_request();
        self.go(State::Binding(session), Step::Send(request))
    }

    fn bind_request(&self) -> String {
        let mut xml = XmlWriter::new();
        xml.open("iq").attribute("type", "set").attribute("id", BIND_ID).open("bind").attribute("xmlns", ns::BIND);
        if let Some(resource) = &self.resource {
            xml.open("resource").text(resource);
        }
        xml.finish()
    }

    fn bound(&mut self, session: SessionWanted, answer: &Element) -> Result<Option<Step>, Error> {
        match answer_to(BIND_ID, answer) {
            None => self.stay(State::Binding(session)),
            // Somebody else has the resource: the server shall make one.
            Some(Err(Condition::Conflict)) if self.resource.take().is_some() => {
                let request = self.bind_request();
                self.go(State::Binding(session), Step::Send(request))
            }
            Some(Err(condition)) => Err(Error::Resource(condition)),
            Some(Ok(())) => {
                let jid = answer.child("bind", ns::BIND).and_then(|bind| bind.child("jid", ns::BIND)).map(Element::text);
                let jid = jid.filter(|jid| jid.contains('/')).ok_or(Error::Unexpected("a resource without a JID"))?.into_owned();
                match session {
                    SessionWanted::No => Ok(Some(Step::Ready(jid))),
                    SessionWanted::Yes => self.go(State::Session(jid), Step::Send(session_request())),
                }
            }
        }
    }

    fn session(&mut self, jid: String, answer: &Element) -> Result<Option<Step>, Error> {
        match answer_to(SESSION_ID, answer) {
            None => self.stay(State::Session(jid)),
            Some(Err(condition)) => Err(Error::Resource(condition)),
            Some(Ok(())) => Ok(Some(Step::Ready(jid))),
        }
    }

    fn go(&mut self, state: State, step: Step) -> Result<Option<Step>, Error> {
        self.state = state;
        Ok(Some(step))
    }

    /// What came is for somebody else.
    fn stay(&mut self, state: State) -> Result<Option<Step>, Error> {
        self.state = state;
        Ok(None)
    }
}

/// What an IQ answers to a request of ours: nothing, or that it was done, or why not.
fn answer_to(id: &str, iq: &Element) -> Option<Result<(), Condition>> {
    if !iq.is("iq", ns::CLIENT) || iq.attribute("id") != Some(id) {
        return None;
    }
    match iq.attribute("type") {
        Some("result") => Some(Ok(())),
        Some("error") => Some(Err(StanzaError::of(iq).map_or(Condition::UndefinedCondition, |error| error.condition))),
        Some(_) | None => None,
    }
}

fn session_request() -> String {
    let mut xml = XmlWriter::new();
    xml.open("iq").attribute("type", "set").attribute("id", SESSION_ID).open("session").attribute("xmlns", ns::SESSION);
    xml.finish()
}

fn empty(name: &'static str, ns: &str) -> String {
    let mut xml = XmlWriter::new();
    xml.open(name).attribute("xmlns", ns);
    xml.finish()
}

impl Refusal {
    fn of(failure: &Element) -> Self {
        let condition = failure.children().find(|child| child.ns() == ns::SASL && child.name() != "text");
        match condition.map(Element::name) {
            Some("account-disabled") => Self::AccountDisabled,
            Some("credentials-expired") => Self::CredentialsExpired,
            Some("encryption-required") => Self::EncryptionRequired,
            Some("mechanism-too-weak") => Self::MechanismTooWeak,
            Some("not-authorized") => Self::NotAuthorized,
            Some("temporary-auth-failure") => Self::TemporaryAuthFailure,
            Some(_) | None => Self::Other,
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::AccountDisabled => "account-disabled",
            Self::CredentialsExpired => "credentials-expired",
            Self::EncryptionRequired => "encryption-required",
            Self::MechanismTooWeak => "mechanism-too-weak",
            Self::NotAuthorized => "not-authorized",
            Self::TemporaryAuthFailure => "temporary-auth-failure",
            Self::Other => "refused",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoTls => f.write_str("the server has no TLS"),
            Self::Unexpected(what) => write!(f, "the server offers {what}"),
            Self::Sasl(error) => error.fmt(f),
            Self::Refused(refusal) => write!(f, "the server refuses the login: {}", refusal.name()),
            Self::Resource(condition) => write!(f, "the server gives no resource: {}", condition.name()),
        }
    }
}

const BIND_ID: &str = "bind";
const SESSION_ID: &str = "session";

#[cfg(test)]
mod tests {
    use super::*;

    const FEATURES: &str = "<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN</mechanism></mechanisms>\
        <starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:features>";
    const BIND: &str = "<stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></stream:features>";
    const SUCCESS: &str = "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>";

    fn login(security: Security) -> Login {
        Login::new("juliet", Some("SIP-phone"), Proof::Password("pencil".to_owned()), security)
    }

    fn take(login: &mut Login, xml: &str) -> Option<Step> {
        login.element(&Element::parse(xml).unwrap())
    }

    fn sent(step: Option<Step>) -> Element {
        match step {
            Some(Step::Send(xml)) => Element::parse(&xml).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    fn bound(jid: &str) -> String {
        format!("<iq type='result' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>{jid}</jid></bind></iq>")
    }

    fn logged_in() -> Login {
        let mut login = login(Security::Encrypted);
        take(&mut login, FEATURES);
        assert_eq!(take(&mut login, SUCCESS), Some(Step::Restart));
        login
    }

    #[test]
    fn a_login_goes_by_password_and_resource_to_a_jid() {
        let mut login = login(Security::Encrypted);
        assert_eq!(sent(take(&mut login, FEATURES)).attribute("mechanism"), Some("PLAIN"));
        assert_eq!(take(&mut login, SUCCESS), Some(Step::Restart));
        let request = sent(take(&mut login, BIND));
        assert_eq!(request.child("bind", ns::BIND).unwrap().child("resource", ns::BIND).unwrap().text(), "SIP-phone");
        assert_eq!(take(&mut login, "<message/>"), None);
        let jid = "juliet@example.com/SIP-phone";
        assert_eq!(take(&mut login, &bound(jid)), Some(Step::Ready(jid.to_owned())));
        assert_eq!(take(&mut login, BIND), None, "it is over");
    }

    #[test]
    fn tls_comes_before_all() {
        let mut login = login(Security::ToEncrypt);
        assert!(sent(take(&mut login, FEATURES)).is("starttls", ns::TLS));
        assert_eq!(take(&mut login, "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"), Some(Step::BeginTls));
        assert_eq!(sent(take(&mut login, FEATURES)).name(), "auth");
        let mut without = super::tests::login(Security::ToEncrypt);
        let none = FEATURES.replace("starttls", "other");
        assert_eq!(take(&mut without, &none), Some(Step::Failed(Error::NoTls)));
    }

    #[test]
    fn a_password_is_not_shown_in_clear() {
        let mut login = login(Security::Clear(ShowPassword::Forbidden));
        assert!(matches!(take(&mut login, FEATURES), Some(Step::Failed(Error::Sasl(sasl::Error::NoMechanism(_))))));
        let mut login = super::tests::login(Security::Clear(ShowPassword::Allowed));
        assert_eq!(sent(take(&mut login, FEATURES)).name(), "auth");
    }

    #[test]
    fn a_refusal_says_whether_it_is_about_the_account() {
        for (condition, is_about_it) in
            [("not-authorized", true), ("account-disabled", true), ("temporary-auth-failure", false), ("tea", true)]
        {
            let mut login = login(Security::Encrypted);
            take(&mut login, FEATURES);
            let failure = format!("<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><text>no</text><{condition}/></failure>");
            let Some(Step::Failed(error)) = take(&mut login, &failure) else { panic!("{condition}") };
            assert_eq!(error.is_about_the_account(), is_about_it, "{error}");
        }
    }

    #[test]
    fn a_resource_that_is_taken_is_left_to_the_server() {
        let mut login = logged_in();
        take(&mut login, BIND);
        let conflict = "<iq type='error' id='bind'><error type='cancel'>\
            <conflict xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>";
        let again = sent(take(&mut login, conflict));
        assert!(again.child("bind", ns::BIND).unwrap().child("resource", ns::BIND).is_none());
        assert_eq!(take(&mut login, conflict), Some(Step::Failed(Error::Resource(Condition::Conflict))));
    }

    #[test]
    fn an_old_server_is_asked_for_a_session() {
        let with = |session: &str| BIND.replace("</stream", &format!("{session}</stream"));
        let mut login = logged_in();
        take(&mut login, &with("<session xmlns='urn:ietf:params:xml:ns:xmpp-session'/>"));
        assert!(sent(take(&mut login, &bound("a@b/c"))).child("session", ns::SESSION).is_some());
        assert_eq!(take(&mut login, "<iq type='result' id='session'/>"), Some(Step::Ready("a@b/c".to_owned())));
        let mut login = logged_in();
        take(&mut login, &with("<session xmlns='urn:ietf:params:xml:ns:xmpp-session'><optional/></session>"));
        assert_eq!(take(&mut login, &bound("a@b/c")), Some(Step::Ready("a@b/c".to_owned())));
    }

    #[test]
    fn what_is_missing_is_said() {
        let mut login = login(Security::Encrypted);
        assert_eq!(take(&mut login, "<stream:features/>"), Some(Step::Failed(Error::Unexpected("no SASL"))));
        let mut login = logged_in();
        assert_eq!(take(&mut login, "<stream:features/>"), Some(Step::Failed(Error::Unexpected("no resource binding"))));
        let mut login = logged_in();
        take(&mut login, BIND);
        assert!(matches!(take(&mut login, &bound("a@b")), Some(Step::Failed(Error::Unexpected(_)))));
    }
}
