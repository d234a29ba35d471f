//! What XMPP can find at the gateway's addresses: the gateway itself, and SIP users. What each of them is, and what it answers.
//!
//! The one list of services is what [`iq`](super::iq) answers, what disco#info says (XEP-0030) and what the hash in presence is made
//! of (XEP-0115): a feature that is told is a feature that is there.

use crate::xmpp::caps::Caps;
use crate::xmpp::disco::Identity;
use crate::xmpp::disco::Info;
use crate::xmpp::element::Element;
use crate::xmpp::ns;

/// Whom a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entity {
    /// The gateway: the domain.
    Gateway,
    /// A SIP user, or one of the user's devices.
    User,
}

/// What can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Service {
    Info,
    Items,
    Ping,
    Version,
    Time,
    Last,
    VCard,
}

impl Service {
    /// What this payload of an IQ asks for; `None` if it is nothing that exists here.
    pub(super) fn of(payload: &Element) -> Option<Self> {
        GATEWAY.iter().copied().find(|service| payload.is(service.element(), service.ns()))
    }

    /// The name of its payload.
    fn element(self) -> &'static str {
        match self {
            Self::Info | Self::Items | Self::Version | Self::Last => "query",
            Self::Ping => "ping",
            Self::Time => "time",
            Self::VCard => "vCard",
        }
    }

    /// The namespace of its payload, which is also the name of the feature.
    fn ns(self) -> &'static str {
        match self {
            Self::Info => ns::DISCO_INFO,
            Self::Items => ns::DISCO_ITEMS,
            Self::Ping => ns::PING,
            Self::Version => ns::VERSION,
            Self::Time => ns::TIME,
            Self::Last => ns::LAST,
            Self::VCard => ns::VCARD,
        }
    }
}

/// All there are.
const GATEWAY: &[Service] =
    &[Service::Info, Service::Items, Service::Ping, Service::Version, Service::Time, Service::Last, Service::VCard];

/// Version, time and idle time are those of a device that cannot be asked: nothing true could be said.
const USER: &[Service] = &[Service::Info, Service::Items, Service::Ping, Service::VCard];

impl Entity {
    /// What it answers.
    pub(super) fn services(self) -> &'static [Service] {
        match self {
            Self::Gateway => GATEWAY,
            Self::User => USER,
        }
    }

    /// What it is: for the gateway "SIP for Instant Messaging and Presence Leveraging Extensions (SIMPLE)", which is what it speaks;
    /// the registry's other type, `sip`, is for calls. A user has "a mobile phone or other telephony device".
    pub(super) fn identity(self) -> Identity {
        match self {
            Self::Gateway => Identity { category: "gateway", identity_type: "simple", name: "SIP gateway" },
            Self::User => Identity { category: "client", identity_type: "phone", name: "SIP" },
        }
    }

    /// What disco#info says of it. `interest` is what SIP users want events of by PEP (XEP-0163), as a feature.
    pub(super) fn info(self, interest: Option<&'static str>) -> Info {
        let interest = interest.filter(|_| self == Self::User);
        // Its presence carries its capabilities; XEP-0115 §7 has that said. Messages may carry headers (XEP-0131 §4).
        let features = self.services().iter().map(|service| service.ns()).chain([ns::CAPS, ns::SHIM]).chain(interest);
        Info::new(self.identity(), features)
    }

    /// What its presence says of it.
    pub(crate) fn caps(self, interest: Option<&'static str>) -> Caps {
        Caps::of(&self.info(interest))
    }
}
