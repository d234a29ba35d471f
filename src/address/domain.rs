//! Domains: A-labels in SIP, U-labels in XMPP (RFC 7247 §6.1), IP addresses in both.

use std::borrow::Cow;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;

use jid::DomainPart;
use jid::DomainRef;

use super::AddressError;

/// The longest DNS name in its text form, without the root dot.
const MAX_NAME: usize = 253;

/// The longest label of a DNS name.
const MAX_LABEL: usize = 63;

/// The canonical form of the host of a SIP URI: lower case, A-labels, no root dot.
pub(super) fn from_sip(host: &[u8]) -> Result<Cow<'_, str>, AddressError> {
    canonical(std::str::from_utf8(host).map_err(|_| AddressError::Domain)?)
}

/// The canonical SIP form of the domainpart of a JID.
pub(super) fn from_xmpp(domain: &str) -> Result<Cow<'_, str>, AddressError> {
    canonical(domain)
}

/// The domainpart for a canonical SIP host.
///
/// A label stays an A-label where the stringprep of XMPP would make another name of its U-label (`ß` becomes `ss`).
pub(super) fn to_xmpp(host: &str) -> Result<Cow<'_, DomainRef>, AddressError> {
    if host.split('.').any(|label| label.starts_with("xn--")) {
        let (unicode, result) = idna::domain_to_unicode(host);
        if result.is_ok()
            && let Ok(domain) = DomainPart::new(&unicode)
            && domain.as_str() == unicode
        {
            return Ok(Cow::Owned(domain.into_owned()));
        }
    }
    DomainPart::new(host).map_err(|_| AddressError::Domain)
}

/// One form for all spellings of a host name or IP address.
pub(super) fn canonical(host: &str) -> Result<Cow<'_, str>, AddressError> {
    if let Some(inner) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let address: Ipv6Addr = inner.parse().map_err(|_| AddressError::Domain)?;
        return Ok(Cow::Owned(format!("[{address}]")));
    }
    let host = host.strip_suffix('.').unwrap_or(host);
    if is_canonical(host) {
        return Ok(Cow::Borrowed(host));
    }
    let ascii = idna::domain_to_ascii(host).map_err(|_| AddressError::Domain)?;
    if is_name(&ascii) { Ok(Cow::Owned(ascii)) } else { Err(AddressError::Domain) }
}

/// Whether this is an ASCII name or IPv4 address, without A-labels, that is written as in both networks.
pub(super) fn is_canonical(host: &str) -> bool {
    is_name(host) && memchr::memmem::find(host.as_bytes(), b"--").is_none()
}

/// Small letters, digits, hyphens and, as they are in use, underscores: nothing that could go on as a parameter or header.
///
/// The last label begins with a letter (RFC 3261 §25.1), or it is an IPv4 address.
fn is_name(host: &str) -> bool {
    let mut length = 0_usize;
    let mut previous = b'.';
    let mut first = b'.';
    for byte in host.bytes() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' if length == 0 => {
                first = byte;
                length = 1;
            }
            b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' => length = length.saturating_add(1),
            b'.' if length > 0 && previous != b'-' => length = 0,
            _ => return false,
        }
        if (byte == b'-' && length == 1) || length > MAX_LABEL {
            return false;
        }
        previous = byte;
    }
    let ends_well = length > 0 && previous != b'-' && host.len() <= MAX_NAME;
    ends_well && (first.is_ascii_lowercase() || host.parse::<Ipv4Addr>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_form_for_all_spellings() {
        for (host, form) in [
            ("Example.NET.", "example.net"),
            ("münchen.example", "xn--mnchen-3ya.example"),
            ("XN--MNCHEN-3YA.example", "xn--mnchen-3ya.example"),
            ("192.0.2.1", "192.0.2.1"),
            ("[2001:DB8:0::1]", "[2001:db8::1]"),
            ("_sip.example", "_sip.example"),
        ] {
            assert_eq!(canonical(host).as_deref(), Ok(form));
        }
    }

    #[test]
    fn a_host_cannot_carry_anything_else() {
        let long_label = "a".repeat(64);
        let long_name = ["a"; 128].join(".");
        for host in [
            "",
            ".",
            "a.1",
            "1.2.3",
            "192.0.2.256",
            "a..b",
            "-a",
            "a-",
            "a;lr",
            "a b",
            "a\r\nb",
            "a@b",
            "[::1",
            "[x]",
            "a=b",
            "a/b",
            &long_label,
            &long_name,
        ] {
            assert_eq!(canonical(host), Err(AddressError::Domain), "{host:?}");
        }
    }

    #[test]
    fn xmpp_sees_unicode_unless_its_stringprep_would_change_the_name() {
        assert_eq!(to_xmpp("xn--mnchen-3ya.example").unwrap().as_str(), "münchen.example");
        assert_eq!(to_xmpp("xn--strae-oqa.example").unwrap().as_str(), "xn--strae-oqa.example");
    }
}
