//! A SIP URI has no JID, or one that leads back to the same user.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    for addresses in properties::schemes() {
        let _ = (addresses.sip_user_to_jid(data), addresses.xmpp_user_to_jid(data));
        let Ok(jid) = addresses.sip_to_jid(data) else { continue };
        properties::check_jid(jid.as_str());
        let uri = addresses.jid_to_gruu(&jid).unwrap_or_else(|error| panic!("{jid}: {error:?}"));
        properties::check_uri(&uri);
        assert_eq!(addresses.sip_to_jid(uri.as_bytes()).as_ref(), Ok(&jid), "{uri}");
    }
});
