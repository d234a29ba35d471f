//! Whatever a MESSAGE holds, its stanza is one well-formed element, and the notification that it was not delivered a MESSAGE that can be
//! read. Fields are ended by 0xff, which no UTF-8 has.
#![no_main]

use std::time::SystemTime;

use libfuzzer_sys::fuzz_target;
use xmpp_gateway::sip::Request;
use xmpp_gateway::sip::cpim;
use xmpp_gateway::sip::imdn;
use xmpp_gateway::translate::disposition;
use xmpp_gateway::translate::disposition::Times;
use xmpp_gateway::translate::message;
use xmpp_gateway::translate::message::StanzaType;
use xmpp_gateway::translate::message::ToXmpp;

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
        let Ok(ToXmpp::Stanza(stanza, wanted)) = message::to_xmpp(&request, &addresses, StanzaType::Chat) else { continue };
        properties::check_stanza(&stanza);
        let Some(wanted) = wanted else { continue };
        let times = Times { came: SystemTime::UNIX_EPOCH, now: SystemTime::UNIX_EPOCH };
        let Ok(notification) = disposition::failed(&wanted, times, &addresses, 7, message::DEFAULT_LIMIT) else { continue };
        properties::check_message(&notification);
        let wrapped = cpim::Message::parse(&notification.body).expect("a message of ours can be read");
        assert_eq!(imdn::Request::of(&wrapped), None, "no notification is wanted of a notification");
        imdn::Notification::parse(&wrapped.content.body).expect("a notification of ours can be read");
    }
});
