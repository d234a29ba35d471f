//! Entity capabilities (XEP-0115): a hash of what disco#info answers, sent along with presence, so that nobody has to ask twice.
//!
//! Made from the very [`Info`] that is answered: what presence says and what disco says cannot differ. Only the hash of our own
//! entities is made here; those have neither extended information (XEP-0128) nor names in several languages.

use data_encoding::BASE64;
use sha1::Digest;
use sha1::Sha1;

use crate::xml::XmlWriter;
use crate::xmpp::disco::Identity;
use crate::xmpp::disco::Info;
use crate::xmpp::ns;

/// The software, as `node` names it. It is to be a URI; with it alone nobody can look anything up.
const SOFTWARE: &str = "urn:xmpp-gateway:software";

/// The capabilities of one kind of entity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caps {
    ver: String,
    node: String,
}

impl Caps {
    /// Those of an entity that answers disco#info so.
    pub fn of(info: &Info) -> Self {
        let ver = verification_string(info);
        let node = [SOFTWARE, "#", &ver].concat();
        Self { ver, node }
    }

    /// The node at which disco#info is asked for what the hash was made of (XEP-0115 §6.2).
    pub fn node(&self) -> &str {
        &self.node
    }

    /// `<c/>`, for available presence.
    pub fn to_xml(&self) -> String {
        let mut xml = XmlWriter::new();
        xml.open("c").attribute("xmlns", ns::CAPS).attribute("hash", "sha-1");
        xml.attribute("node", SOFTWARE).attribute("ver", &self.ver);
        xml.finish()
    }
}

/// The hash (XEP-0115 §5.1). The place between the slashes is for the language of the name; ours have none.
fn verification_string(info: &Info) -> String {
    let Identity { category, identity_type, name } = info.identity();
    let mut text = format!("{category}/{identity_type}//{name}<");
    for feature in info.features() {
        text.push_str(feature);
        text.push('<');
    }
    BASE64.encode(&Sha1::digest(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_that_of_the_specification() {
        // XEP-0115 §5.2, with the features in another order.
        let identity = Identity { category: "client", identity_type: "pc", name: "Exodus 0.9.1" };
        let muc = "http://jabber.org/protocol/muc";
        let info = Info::new(identity, [muc, ns::DISCO_ITEMS, ns::CAPS, ns::DISCO_INFO, muc]);
        assert_eq!(verification_string(&info), "QgayPKawpkPSDYmwT/WM94uAlu0=");
        assert_eq!(Caps::of(&info).node(), "urn:xmpp-gateway:software#QgayPKawpkPSDYmwT/WM94uAlu0=");
    }
}
