//! A JID has no SIP URI, or one that leads back to it: to its canonical form, where a user part holds a domain in another.
#![no_main]

use jid::Jid;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(jid) = Jid::new(text) else { return };
    for addresses in properties::schemes() {
        if let Ok(uri) = addresses.jid_to_gruu(&jid) {
            properties::check_uri(&uri);
            let back = addresses.sip_to_jid(uri.as_bytes()).unwrap_or_else(|error| panic!("{jid} {uri}: {error:?}"));
            let again = addresses.jid_to_gruu(&back).unwrap_or_else(|error| panic!("{jid} {uri} {back}: {error:?}"));
            assert_eq!(again, uri, "{jid}");
            assert_eq!(back.resource(), jid.resource(), "{uri}");
            assert!(
                back.node() == jid.node() || jid.node().is_some_and(|node| node.as_str().contains('*')),
                "{jid} {uri} {back}"
            );
        }
        if let Ok(uri) = addresses.jid_to_sip(&jid) {
            properties::check_uri(&uri);
            assert!(addresses.sip_to_jid(uri.as_bytes()).is_ok_and(|back| back.is_bare()), "{uri}");
        }
    }
});
