//! Whatever a MESSAGE holds, its stanza is one well-formed element. Fields are ended by 0xff, which no UTF-8 has.
#![no_main]

use libfuzzer_sys::fuzz_target;
use xmpp_gateway::sip::Request;
use xmpp_gateway::translate::message;
use xmpp_gateway::translate::message::StanzaType;

fuzz_target!(|data: &[u8]| {
    let mut fields = data.splitn(9, |byte| *byte == 0xff).map(<[u8]>::to_vec);
    let mut field = || fields.next().unwrap_or_default();
    let mut optional = || Some(field()).filter(|value| !value.is_empty());
    let request = Request {
        request_uri: optional().unwrap_or_else(|| b"sip:juliet@example.net".to_vec()),
        from: optional().unwrap_or_else(|| b"sip:romeo@sip.example.com".to_vec()),
        contact: optional(),
        call_id: optional().unwrap_or_default(),
        branch: optional().unwrap_or_default(),
        content_type: optional(),
        content_language: optional(),
        subject: optional(),
        body: optional().unwrap_or_default(),
        ..Request::default()
    };
    for addresses in properties::schemes() {
        if let Ok(stanza) = message::to_xmpp(&request, &addresses, StanzaType::Chat) {
            properties::check_stanza(&stanza);
        }
    }
});
