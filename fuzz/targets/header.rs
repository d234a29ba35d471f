//! Any header value is read or passed over; what is taken out of one lies in it, and is fit for where it goes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use xmpp_gateway::sip::header;

fuzz_target!(|data: &[u8]| {
    let is_part = |part: &[u8]| part.is_empty() || data.windows(part.len()).any(|window| window == part);
    let _ = (header::subscription_state(data), header::is_media_type(data, "text/plain"));
    assert!(is_part(header::event_package(data)));
    assert!(header::charset(data).is_none_or(is_part));
    if let Some((uri, tag)) = header::plain_from(data) {
        assert!(is_part(uri) && is_part(tag));
        assert!(!uri.is_empty() && uri.iter().all(|byte| byte.is_ascii_graphic() && !b"<>\"".contains(byte)), "{uri:?}");
        assert!(tag.iter().all(|byte| byte.is_ascii_graphic() && !b"<>\",;".contains(byte)), "{tag:?}");
    }
    let _ = (header::expires(data), header::accepts(data, "application/pidf+xml"));
    assert!(is_part(header::event_id(data)));
    assert!(header::bracketed_uris(data).is_none_or(|uris| uris.into_iter().all(is_part)));
    if let Some(language) = header::content_language(data) {
        assert!(language.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'), "{language}");
    }
});
