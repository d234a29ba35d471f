//! Requests to the gateway and to SIP users, for whom it answers (RFC 6120 §8.2.3, §10.5).
//!
//! A request is answered whatever it asks for. What comes as result or error answers nothing that was asked here, and is dropped.
//!
//! | to | is |
//! | --- | --- |
//! | the domain | the gateway |
//! | a user, bare | the SIP user, whether or not there is one: the answer tells nobody who has an account |
//! | a user, full | that device, for those who were shown its presence; for others there is none (RFC 6121 §8.5.3.2.3) |
//! | anything else | nobody: `service-unavailable` |

use std::time::Duration;
use std::time::SystemTime;

use crate::address::Addresses;
use crate::gateway::entity::Entity;
use crate::gateway::entity::Service;
use crate::gateway::subscription::Subscriptions;
use crate::xmpp::caps::Caps;
use crate::xmpp::disco;
use crate::xmpp::disco::Info;
use crate::xmpp::element::Element;
use crate::xmpp::last;
use crate::xmpp::stanza;
use crate::xmpp::stanza::IqType;
use crate::xmpp::stanza::iq_result;
use crate::xmpp::stanza_error::Condition;
use crate::xmpp::stanza_error::StanzaError;
use crate::xmpp::time;
use crate::xmpp::vcard;
use crate::xmpp::version;

/// What is answered, made once.
#[derive(Debug)]
pub(super) struct Answers {
    gateway: Profile,
    user: Profile,
}

/// One kind of entity.
#[derive(Debug)]
struct Profile {
    info: Info,
    caps: Caps,
}

/// What an answer depends on besides the request.
pub(super) struct Circumstances<'a> {
    pub(super) addresses: &'a Addresses,
    pub(super) subscriptions: &'a Subscriptions,
    /// The present time.
    pub(super) wall: SystemTime,
    /// How long the gateway has been running.
    pub(super) uptime: Duration,
}

impl Answers {
    /// `interest` is what SIP users want events of by PEP.
    pub(super) fn new(interest: Option<&'static str>) -> Self {
        Self { gateway: Profile::new(Entity::Gateway, None), user: Profile::new(Entity::User, interest) }
    }

    /// The answer to an IQ; `None` for one that is none to answer.
    pub(super) fn answer(
        &self,
        iq: &Element,
        addresses: &stanza::Addresses,
        circumstances: &Circumstances<'_>,
    ) -> Result<Option<String>, StanzaError> {
        let Some((request, payload)) = request(iq)? else { return Ok(None) };
        let service = Service::of(payload).filter(|_| request == IqType::Get).ok_or(Condition::ServiceUnavailable)?;
        let entity = circumstances.recipient(addresses, service).ok_or(Condition::ServiceUnavailable)?;
        if !entity.services().contains(&service) {
            return Err(Condition::ServiceUnavailable.into());
        }
        let result = match service {
            Service::Info => Some(self.profile(entity).info.to_xml(self.node(entity, payload)?)),
            Service::Items => Some(disco::no_items(self.node(entity, payload)?)),
            Service::Ping => None,
            Service::Version => Some(version::to_xml()),
            Service::Time => Some(time::to_xml(circumstances.wall).ok_or(Condition::InternalServerError)?),
            Service::Last => Some(last::to_xml(circumstances.uptime)),
            Service::VCard => Some(match entity {
                Entity::Gateway => vcard::to_xml(Some(entity.identity().name)),
                Entity::User => vcard::to_xml(circumstances.subscriptions.display_name(&addresses.bare_pair())),
            }),
        };
        Ok(iq_result(iq, result.as_deref()))
    }

    /// The node that is asked for: none, or the one of our capabilities, at which there is the same.
    fn node<'a>(&self, entity: Entity, query: &'a Element) -> Result<Option<&'a str>, StanzaError> {
        match query.attribute("node") {
            Some(node) if node != self.profile(entity).caps.node() => Err(Condition::ItemNotFound.into()),
            node => Ok(node),
        }
    }

    fn profile(&self, entity: Entity) -> &Profile {
        match entity {
            Entity::Gateway => &self.gateway,
            Entity::User => &self.user,
        }
    }
}

impl Profile {
    fn new(entity: Entity, interest: Option<&'static str>) -> Self {
        let info = entity.info(interest);
        Self { caps: Caps::of(&info), info }
    }
}

impl Circumstances<'_> {
    /// Who is asked, as far as the sender may know; `None`: nobody.
    fn recipient(&self, addresses: &stanza::Addresses, service: Service) -> Option<Entity> {
        let stanza::Addresses { from, to } = addresses;
        if !self.addresses.is_sip_user(to) {
            return None;
        }
        match (to.node(), to.resource()) {
            (None, None) => return Some(Entity::Gateway),
            (None, Some(_)) => return None,
            (Some(_), _) => self.addresses.jid_to_sip(to).ok()?,
        };
        match to.resource() {
            None => {}
            // Some servers ask in their own name, once for all users who were shown a presence, what its capabilities are.
            Some(_) if from.node().is_none() && service == Service::Info => {}
            Some(resource) if self.subscriptions.is_shown(&addresses.bare_pair(), resource.as_str()) => {}
            Some(_) => return None,
        }
        Some(Entity::User)
    }
}

/// The request that an IQ is, with its one payload; `None` if it is an answer (RFC 6120 §8.2.3).
fn request(iq: &Element) -> Result<Option<(IqType, &Element)>, StanzaError> {
    let request = match IqType::of(iq).ok_or(Condition::BadRequest)? {
        request @ (IqType::Get | IqType::Set) => request,
        IqType::Result | IqType::Error => return Ok(None),
    };
    let mut children = iq.children();
    match (iq.attribute("id"), children.next(), children.next()) {
        (Some(_), Some(payload), None) => Ok(Some((request, payload))),
        _ => Err(Condition::BadRequest.into()),
    }
}
