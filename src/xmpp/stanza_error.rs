//! Stanza errors (RFC 6120 §8.3): written into a reply, and read from one.

use crate::xml::XmlWriter;
use crate::xmpp::element::Element;
use crate::xmpp::ns;

/// What `<error/>` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StanzaError {
    /// What is wrong.
    pub condition: Condition,
    /// What the sender can do.
    pub error_type: ErrorType,
    /// The same in words.
    pub text: Option<String>,
    /// The other address that `gone` and `redirect` may name.
    pub address: Option<String>,
    /// The JID of who made the error, where that is not who the stanza was for.
    pub by: Option<String>,
}

/// What the sender of the failed stanza can do (RFC 6120 §8.3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorType {
    /// Log in or get permission, and try again.
    Auth,
    /// Nothing.
    Cancel,
    /// Go on: it was a warning.
    Continue,
    /// Change what was sent, and try again.
    Modify,
    /// Try again later.
    Wait,
}

impl From<Condition> for StanzaError {
    fn from(condition: Condition) -> Self {
        Self::new(condition)
    }
}

impl StanzaError {
    /// An error of this condition, of the type that the RFC names first for it.
    pub fn new(condition: Condition) -> Self {
        Self { condition, error_type: condition.default_type(), text: None, address: None, by: None }
    }

    /// The same with words.
    pub fn with_text(self, text: &str) -> Self {
        Self { text: Some(text.to_owned()), ..self }
    }

    /// The same with the address of `gone` or `redirect`: a URI.
    pub fn with_address(self, address: &str) -> Self {
        Self { address: Some(address.to_owned()), ..self }
    }

    /// The same, made on the way by this JID.
    pub fn with_by(self, by: &str) -> Self {
        Self { by: Some(by.to_owned()), ..self }
    }

    /// Reads the `<error/>` of a stanza; `None` if it has none. A condition that is not defined is `undefined-condition`; a type
    /// that is missing or not defined is the default one.
    pub fn of(stanza: &Element) -> Option<Self> {
        let error = stanza.child("error", ns::CLIENT)?;
        let defined = error.children().find(|child| child.ns() == ns::STANZA_ERRORS && child.name() != "text");
        let condition = defined.and_then(|child| Condition::from_name(child.name())).unwrap_or(Condition::UndefinedCondition);
        let error_type = error.attribute("type").and_then(ErrorType::from_name).unwrap_or_else(|| condition.default_type());
        let address = defined.filter(|_| matches!(condition, Condition::Gone | Condition::Redirect)).map(Element::text);
        let address = address.filter(|address| !address.trim().is_empty());
        let text = error.child("text", ns::STANZA_ERRORS).map(Element::text).filter(|text| !text.is_empty());
        Some(Self {
            condition,
            error_type,
            text: text.map(|text| text.into_owned()),
            address: address.map(|text| text.trim().to_owned()),
            by: error.attribute("by").map(str::to_owned),
        })
    }

    /// Writes `<error/>`.
    pub fn write(&self, xml: &mut XmlWriter) {
        xml.open("error").attribute("type", self.error_type.name()).attribute_if("by", self.by.as_deref());
        xml.open(self.condition.name()).attribute("xmlns", ns::STANZA_ERRORS);
        if let Some(address) = &self.address {
            xml.text(address);
        }
        xml.close();
        if let Some(text) = &self.text {
            xml.open("text").attribute("xmlns", ns::STANZA_ERRORS).attribute("xml:lang", "en").text(text).close();
        }
        xml.close();
    }
}

impl ErrorType {
    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::Cancel => "cancel",
            Self::Continue => "continue",
            Self::Modify => "modify",
            Self::Wait => "wait",
        }
    }

    /// The type of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Auth, Self::Cancel, Self::Continue, Self::Modify, Self::Wait].into_iter().find(|known| known.name() == name)
    }
}

macro_rules! conditions {
    ($($(#[$doc:meta])+ $variant:ident = $name:literal, $error_type:ident;)+) => {
        /// The defined conditions (RFC 6120 §8.3.3).
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Condition {
            $($(#[$doc])+ $variant,)+
        }

        impl Condition {
            /// All of them, in the order of the RFC.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// Its name on the wire.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            /// The condition of this name.
            pub fn from_name(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$variant),)+
                    _ => None,
                }
            }

            /// The type that the RFC gives it, the first where it gives several.
            pub fn default_type(self) -> ErrorType {
                match self {
                    $(Self::$variant => ErrorType::$error_type,)+
                }
            }
        }
    };
}

conditions! {
    /// The stanza is malformed or not understood.
    BadRequest = "bad-request", Modify;
    /// Something of that name exists.
    Conflict = "conflict", Cancel;
    /// Not implemented here.
    FeatureNotImplemented = "feature-not-implemented", Cancel;
    /// The sender may not do this.
    Forbidden = "forbidden", Auth;
    /// The recipient is here no more; may name its new address.
    Gone = "gone", Cancel;
    /// Something broke here.
    InternalServerError = "internal-server-error", Cancel;
    /// No such recipient or item.
    ItemNotFound = "item-not-found", Cancel;
    /// An address is no JID.
    JidMalformed = "jid-malformed", Modify;
    /// The recipient does not accept this.
    NotAcceptable = "not-acceptable", Modify;
    /// Nobody may do this.
    NotAllowed = "not-allowed", Cancel;
    /// The sender has to log in first.
    NotAuthorized = "not-authorized", Auth;
    /// A local rule is broken.
    PolicyViolation = "policy-violation", Modify;
    /// The recipient cannot be reached now.
    RecipientUnavailable = "recipient-unavailable", Wait;
    /// The recipient is, for now, at the address it names.
    Redirect = "redirect", Modify;
    /// The sender has to register first.
    RegistrationRequired = "registration-required", Auth;
    /// The recipient's server does not exist or cannot be resolved.
    RemoteServerNotFound = "remote-server-not-found", Cancel;
    /// The recipient's server did not answer in time.
    RemoteServerTimeout = "remote-server-timeout", Wait;
    /// Too busy.
    ResourceConstraint = "resource-constraint", Wait;
    /// The recipient does not offer this service.
    ServiceUnavailable = "service-unavailable", Cancel;
    /// The sender has to subscribe first.
    SubscriptionRequired = "subscription-required", Auth;
    /// None of the others.
    UndefinedCondition = "undefined-condition", Cancel;
    /// Understood, but not expected at this time.
    UnexpectedRequest = "unexpected-request", Wait;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xmpp::stanza::error_reply;

    fn through_a_reply(error: &StanzaError) -> StanzaError {
        let stanza = Element::parse("<iq type='get' id='1' from='a@b'/>").unwrap();
        StanzaError::of(&Element::parse(&error_reply(&stanza, error).unwrap()).unwrap()).unwrap()
    }

    #[test]
    fn every_condition_survives_a_reply() {
        assert_eq!(Condition::ALL.len(), 22);
        for condition in Condition::ALL {
            let error = StanzaError::new(*condition);
            assert_eq!(through_a_reply(&error), error);
        }
    }

    #[test]
    fn text_address_and_maker_survive_a_reply() {
        let error = StanzaError::new(Condition::Gone).with_address("xmpp:romeo@afterlife.example").with_text("<gone> & away");
        let error = error.with_by("sip.example");
        assert_eq!(through_a_reply(&error), error);
    }

    #[test]
    fn an_error_of_another_kind_is_read_as_far_as_it_goes() {
        let of = |error: &str| StanzaError::of(&Element::parse(&format!("<message type='error'>{error}</message>")).unwrap());
        assert_eq!(of(""), None);
        assert_eq!(of("<error code='404'/>"), Some(StanzaError::new(Condition::UndefinedCondition)));
        let unknown = "<error type='odd'><tea xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>";
        assert_eq!(of(unknown), Some(StanzaError::new(Condition::UndefinedCondition)));
        let modify = "<error type='modify'><x xmlns='urn:own'/><forbidden xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>";
        let expected = StanzaError { error_type: ErrorType::Modify, ..StanzaError::new(Condition::Forbidden) };
        assert_eq!(of(modify), Some(expected));
    }
}
