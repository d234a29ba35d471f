//! Last activity (XEP-0012).

use std::time::Duration;

use crate::xml::XmlWriter;
use crate::xmpp::ns;

/// `<query/>` of a server or component: how long it has been running, in whole seconds (XEP-0012 §5).
pub fn to_xml(uptime: Duration) -> String {
    let mut xml = XmlWriter::new();
    xml.open("query").attribute("xmlns", ns::LAST).attribute("seconds", &uptime.as_secs().to_string());
    xml.finish()
}
