//! Taking a SIP URI apart (RFC 3261 §19.1.1), as far as an address needs it.

use super::AddressError;
use super::MAX_URI;

/// The parts of a SIP URI that make an address, still encoded.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Parts<'a> {
    /// Without the password.
    pub(super) user: &'a [u8],
    /// Without the port.
    pub(super) host: &'a [u8],
    /// The value of the `gr` parameter, if it has one.
    pub(super) gr: Option<&'a [u8]>,
}

impl<'a> Parts<'a> {
    /// Splits at the first `@`: the user part of a valid URI has no other.
    pub(super) fn new(uri: &'a [u8]) -> Result<Self, AddressError> {
        if uri.len() > MAX_URI {
            return Err(AddressError::TooLong);
        }
        let (scheme, rest) = cut(uri, b':').ok_or(AddressError::Scheme)?;
        match scheme {
            _ if is(scheme, b"sip") || is(scheme, b"im") || is(scheme, b"pres") => {}
            _ if is(scheme, b"sips") => return Err(AddressError::Sips),
            _ if is(scheme, b"tel") => return Err(AddressError::Tel),
            _ => return Err(AddressError::Scheme),
        }
        let (user_info, rest) = cut(rest, b'@').ok_or(AddressError::NoUser)?;
        let user = cut(user_info, b':').map_or(user_info, |(user, _password)| user);
        if user.is_empty() {
            return Err(AddressError::NoUser);
        }
        if user.iter().any(|byte| byte.is_ascii_control() || b" <>\"".contains(byte)) {
            return Err(AddressError::User);
        }
        let rest = cut(rest, b'?').map_or(rest, |(rest, _headers)| rest);
        let (host_port, parameters) = cut(rest, b';').unwrap_or((rest, b""));
        Ok(Self { user, host: without_port(host_port)?, gr: gr(parameters) })
    }
}

fn without_port(host_port: &[u8]) -> Result<&[u8], AddressError> {
    let name_end = if host_port.starts_with(b"[") {
        memchr::memchr(b']', host_port).ok_or(AddressError::Domain)?.saturating_add(1)
    } else {
        memchr::memchr(b':', host_port).unwrap_or(host_port.len())
    };
    let (host, port) = host_port.split_at_checked(name_end).ok_or(AddressError::Domain)?;
    match port.split_first() {
        None => Ok(host),
        Some((b':', digits)) if !digits.is_empty() && digits.iter().all(u8::is_ascii_digit) => Ok(host),
        Some(_) => Err(AddressError::Domain),
    }
}

fn gr(parameters: &[u8]) -> Option<&[u8]> {
    if parameters.is_empty() {
        return None;
    }
    parameters.split(|byte| *byte == b';').find_map(|parameter| {
        let (name, value) = cut(parameter, b'=')?;
        (is(name, b"gr") && !value.is_empty()).then_some(value)
    })
}

fn cut(bytes: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let (before, rest) = bytes.split_at_checked(memchr::memchr(at, bytes)?)?;
    Some((before, rest.split_first()?.1))
}

fn is(name: &[u8], known: &[u8]) -> bool {
    name.eq_ignore_ascii_case(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn password_port_parameters_and_headers_are_dropped() {
        let parts = Parts::new(b"SIP:a;b?c:secret@h.example:5060;transport=tcp;gr=urn:uuid:1;lr?Subject=x@y").unwrap();
        assert_eq!(parts, Parts { user: b"a;b?c", host: b"h.example", gr: Some(b"urn:uuid:1") });
    }

    #[test]
    fn a_temporary_gruu_tells_no_device() {
        assert_eq!(Parts::new(b"sip:tgruu.7hs==jd7@h;gr").unwrap().gr, None);
        assert_eq!(Parts::new(b"sip:tgruu.7hs==jd7@h;gr=").unwrap().gr, None);
    }

    #[test]
    fn an_ipv6_reference_keeps_its_brackets() {
        assert_eq!(Parts::new(b"sip:a@[2001:db8::1]:5060").unwrap().host, b"[2001:db8::1]");
        assert_eq!(Parts::new(b"sip:a@[2001:db8::1"), Err(AddressError::Domain));
        assert_eq!(Parts::new(b"sip:a@[::1]x"), Err(AddressError::Domain));
    }

    #[test]
    fn what_is_no_sip_user_says_so() {
        for (uri, error) in [
            (&b"sips:a@h"[..], AddressError::Sips),
            (b"tel:+1-201-555-0123", AddressError::Tel),
            (b"http://a@h", AddressError::Scheme),
            (b"a@h", AddressError::Scheme),
            (b"", AddressError::Scheme),
            (b"sip:h", AddressError::NoUser),
            (b"sip:@h", AddressError::NoUser),
            (b"sip:a b@h", AddressError::User),
            (b"sip:a\r\nX: y@h", AddressError::User),
            (b"sip:a@h:50a", AddressError::Domain),
        ] {
            assert_eq!(Parts::new(uri), Err(error), "{uri:?}");
        }
    }
}
