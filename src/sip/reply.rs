//! The final reply to a request of ours, as far as the XMPP side is told of it.
//!
//! In a callback the reply may lie in the host's shared memory, where the host's parser must not write. So the few headers that matter
//! here are read from its bytes.

use memchr::memmem;

use super::entity_tag;

/// A final reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// The reason phrase; empty if there is none.
    pub reason: String,
    /// The URI of the first Contact, if there is one.
    pub contact: Option<Vec<u8>>,
    /// Retry-After (RFC 3261 §20.33), in seconds.
    pub retry_after: Option<u32>,
    /// Expires of a 2xx to a SUBSCRIBE or PUBLISH, in seconds: what was granted.
    pub expires: Option<u32>,
    /// The dialog that a 2xx to a SUBSCRIBE made, or belongs to: see [`dialog_name`].
    pub dialog: Option<String>,
    /// Min-Expires of a 423 (RFC 3261 §20.23), in seconds.
    pub min_expires: Option<u32>,
    /// SIP-ETag of a 2xx to a PUBLISH (RFC 3903 §11.3.1).
    pub entity_tag: Option<String>,
    /// Who made it.
    pub source: ReplySource,
}

/// Who made a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplySource {
    /// A SIP element: it came over the network.
    Network,
    /// Our own side, as nobody answered in time or the request could not be sent.
    Local,
}

/// Characters of a reason phrase that are kept.
const LONGEST_REASON: usize = 256;

/// What stands for a reply that did not come (RFC 3261 §8.1.3.1).
const REQUEST_TIMEOUT: u16 = 408;

impl Reply {
    /// One that came; `raw` is the whole reply as it was received.
    pub fn received(status: u16, reason: &[u8], raw: &[u8]) -> Self {
        let number = |name: &[u8]| header(raw, &[name]).and_then(|value| seconds(&value));
        let method = header(raw, &[b"cseq"]).filter(|_| status < 300);
        let is_subscribed = method.as_ref().is_some_and(|cseq| cseq.ends_with(b"SUBSCRIBE"));
        let is_published = method.is_some_and(|cseq| cseq.ends_with(b"PUBLISH"));
        let expires = if is_subscribed || is_published { number(b"expires") } else { None };
        let dialog = if is_subscribed { dialog(raw) } else { None };
        let entity_tag = if is_published { header(raw, &[b"sip-etag"]).and_then(|tag| entity_tag(&tag)) } else { None };
        let min_expires = if status == 423 { number(b"min-expires") } else { None };
        // Most replies are a success, of which nobody wants to know more.
        let (reason, raw) = if status < 300 { Default::default() } else { (reason, raw) };
        let reason = String::from_utf8_lossy(reason).chars().take(LONGEST_REASON).collect();
        let contact = header(raw, &[b"contact", b"m"]).and_then(|value| address(&value));
        let retry_after = header(raw, &[b"retry-after"]).and_then(|value| seconds(&value));
        Self { status, reason, contact, retry_after, expires, dialog, min_expires, entity_tag, source: ReplySource::Network }
    }

    /// One that our own side made up; without a status, because nothing came in time.
    pub fn local(status: Option<u16>) -> Self {
        let status = status.unwrap_or(REQUEST_TIMEOUT);
        let source = ReplySource::Local;
        Self {
            status,
            reason: String::new(),
            contact: None,
            retry_after: None,
            expires: None,
            dialog: None,
            min_expires: None,
            entity_tag: None,
            source,
        }
    }
}

/// The name of a dialog as a subscriber knows it: the notifier's tag goes with the Call-ID (RFC 6665 §4.4.1).
pub fn dialog_name(call_id: &[u8], tag: &[u8]) -> String {
    String::from_utf8_lossy(&[call_id, b";", tag].concat()).into_owned()
}

fn dialog(raw: &[u8]) -> Option<String> {
    let to = header(raw, &[b"to", b"t"])?;
    let tag = to.get(memmem::rfind(&to, TAG)?.checked_add(TAG.len())?..)?;
    let tag = tag.split(|byte| b"; \t".contains(byte)).next()?;
    Some(dialog_name(&header(raw, &[b"call-id", b"i"])?, tag))
}

const TAG: &[u8] = b";tag=";

/// The value of the first header with one of these names, in lower case, its lines joined (RFC 3261 §7.3.1).
fn header(raw: &[u8], names: &[&[u8]]) -> Option<Vec<u8>> {
    let mut lines = raw.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line)).skip(1).peekable();
    while let Some(line) = lines.next() {
        if line.is_empty() {
            return None;
        }
        let Some((name, value)) = memchr::memchr(b':', line).and_then(|at| line.split_at_checked(at)) else { continue };
        if !names.contains(&&*name.trim_ascii().to_ascii_lowercase()) {
            continue;
        }
        let mut value = value.strip_prefix(b":").unwrap_or_default().trim_ascii().to_vec();
        while let Some(more) = lines.next_if(|line| line.starts_with(b" ") || line.starts_with(b"\t")) {
            value.push(b' ');
            value.extend_from_slice(more.trim_ascii());
        }
        return Some(value);
    }
    None
}

/// The URI of the first address of a Contact: in brackets behind a name, in quotes or not, or as it stands.
fn address(value: &[u8]) -> Option<Vec<u8>> {
    let mut quoted = false;
    let mut escaped = false;
    for (at, byte) in value.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'<' if !quoted => {
                let rest = value.get(at..)?.strip_prefix(b"<")?;
                return rest.split_at_checked(memchr::memchr(b'>', rest)?).map(|(uri, _)| uri.trim_ascii().to_vec());
            }
            b',' if !quoted => break,
            _ => {}
        }
    }
    let uri = value.split(|byte| b";,".contains(byte)).next()?.trim_ascii();
    (!uri.is_empty() && !uri.contains(&b'"')).then(|| uri.to_vec())
}

/// The number in front of a comment or parameters.
fn seconds(value: &[u8]) -> Option<u32> {
    let end = value.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(value.len());
    std::str::from_utf8(value.get(..end)?).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetimes_are_read_from_the_replies_that_they_belong_to() {
        let read = |status| {
            let fields = "t: \"a;tag=b\" <sip:c@d;tag=e>;x=y;tag=f;g\r\nCall-ID: 1@h\r\nCSeq: 2 SUBSCRIBE\r\nExpires: 600;x=y\r\nmin-expires : 1800";
            let raw = format!("SIP/2.0 {status} X\r\n{fields}\r\n\r\n");
            let reply = Reply::received(status, b"X", raw.as_bytes());
            (reply.expires, reply.dialog, reply.min_expires)
        };
        assert_eq!(read(202), (Some(600), Some("1@h;f".to_owned()), None));
        assert_eq!(read(423), (None, None, Some(1800)));
        assert_eq!(read(404), (None, None, None));
    }

    #[test]
    fn an_entity_tag_is_a_token_of_a_publish_that_was_taken() {
        let read = |status, method, tag: &str| {
            let raw = format!("SIP/2.0 {status} X\r\nCSeq: 2 {method}\r\nExpires: 3600\r\nSIP-ETag: {tag}\r\n\r\n");
            let reply = Reply::received(status, b"X", raw.as_bytes());
            (reply.entity_tag, reply.expires)
        };
        let taken = |tag: Option<&str>| (tag.map(str::to_owned), Some(3600));
        assert_eq!(read(200, "PUBLISH", " a.1763756329.1 "), taken(Some("a.1763756329.1")));
        assert_eq!(read(200, "PUBLISH", &"x".repeat(256)).0.map(|tag| tag.len()), Some(256));
        // It goes into a header of ours, and a Call-ID.
        for bad in ["", "a b", "a\"b", "a;b", "a\u{e9}", "a\r\n b", &"x".repeat(257)] {
            assert_eq!(read(200, "PUBLISH", bad), taken(None), "{bad:?}");
        }
        assert_eq!(read(412, "PUBLISH", "a"), (None, None));
        assert_eq!(read(200, "MESSAGE", "a"), (None, None));
    }

    fn read(headers: &str) -> (Option<String>, Option<u32>) {
        let raw = format!("SIP/2.0 302 Moved\r\nVia: SIP/2.0/UDP x\r\n{headers}\r\n\r\nContact: <sip:body@x>\r\n");
        let reply = Reply::received(302, b"Moved", raw.as_bytes());
        (reply.contact.map(|uri| String::from_utf8(uri).unwrap()), reply.retry_after)
    }

    #[test]
    fn the_first_contact_is_found_however_it_is_written() {
        for (headers, uri) in [
            ("Contact: <sip:a@b;gr=c>;expires=1", "sip:a@b;gr=c"),
            ("CONTACT :sip:a@b;q=0.7", "sip:a@b"),
            ("m: \"A <x>, \\\" B\" <sip:a@b>, <sip:c@d>", "sip:a@b"),
            ("Contact:\r\n \"A\"\r\n\t<sip:a@b>", "sip:a@b"),
            ("Contact: sip:a@b, sip:c@d", "sip:a@b"),
            ("Contact: Bob < tel:+1 >", "tel:+1"),
            ("X: y\r\nContact: <sip:a@b>\r\nContact: <sip:c@d>", "sip:a@b"),
        ] {
            assert_eq!(read(headers).0.as_deref(), Some(uri), "{headers}");
        }
    }

    #[test]
    fn what_is_no_contact_is_none() {
        for headers in
            ["X: y", "Contact:", "Contact: <sip:a@b", "Contact: \"<sip:a@b>", "Contact: ;x", "X-Contact: <sip:a@b>", "no colon"]
        {
            assert_eq!(read(headers).0, None, "{headers}");
        }
        assert_eq!(Reply::received(302, b"", b"").contact, None);
        assert_eq!(Reply::received(200, b"OK", b"SIP/2.0 200 OK\r\nContact: <sip:a@b>\r\n\r\n").contact, None);
    }

    #[test]
    fn retry_after_is_a_number_of_seconds() {
        assert_eq!(read("Retry-After: 120 (in a meeting);duration=3600").1, Some(120));
        assert_eq!(read("Retry-After: soon").1, None);
        assert_eq!(read("Retry-After: 99999999999").1, None);
    }

    #[test]
    fn no_reply_is_a_timeout_of_our_own() {
        assert_eq!((Reply::local(None).status, Reply::local(Some(477)).status), (408, 477));
        assert_eq!(Reply::local(None).source, ReplySource::Local);
    }
}
