//! vCards as XMPP has them (XEP-0054).

use crate::xml::XmlWriter;
use crate::xmpp::ns;

/// `<vCard/>` of somebody with this name; empty where it is not known, which XEP-0054 §3.3 allows.
pub fn to_xml(full_name: Option<&str>) -> String {
    let mut xml = XmlWriter::new();
    xml.open("vCard").attribute("xmlns", ns::VCARD);
    if let Some(full_name) = full_name {
        xml.open("FN").text(full_name).close();
    }
    xml.finish()
}
