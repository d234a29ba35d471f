//! Software version (XEP-0092).

use crate::xml::XmlWriter;
use crate::xmpp::ns;

/// `<query/>`: the name and version of this module. The operating system is nobody's business.
pub fn to_xml() -> String {
    let mut xml = XmlWriter::new();
    xml.open("query").attribute("xmlns", ns::VERSION);
    xml.open("name").text(env!("CARGO_PKG_NAME")).close();
    xml.open("version").text(env!("CARGO_PKG_VERSION")).close();
    xml.finish()
}
