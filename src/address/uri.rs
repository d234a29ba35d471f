//! Taking a URI apart (SIP: RFC 3261 §19.1.1, `im:`: RFC 3860, `pres:`: RFC 3859, `tel:`: RFC 3966), as far as an address needs it.

use super::AddressError;
use super::MAX_URI;

/// Whom a URI names, still encoded.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Uri<'a> {
    /// A user of a domain.
    User(Parts<'a>),
    /// What follows `tel:`.
    Number(&'a [u8]),
}

/// The parts of a URI that make an address, still encoded.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Parts<'a> {
    /// Without the password.
    pub(super) user: &'a [u8],
    /// Without the port.
    pub(super) host: &'a [u8],
    /// The value of the `gr` parameter, if it has one.
    pub(super) gr: Option<&'a [u8]>,
    /// `user=phone`: the user is a telephone number.
    pub(super) is_phone: bool,
}

impl<'a> Uri<'a> {
    /// By the scheme; each is split as its RFC has it.
    pub(super) fn new(uri: &'a [u8]) -> Result<Self, AddressError> {
        if uri.len() > MAX_URI {
            return Err(AddressError::TooLong);
        }
        let (scheme, rest) = cut(uri, b':').ok_or(AddressError::Scheme)?;
        match scheme {
            _ if is(scheme, b"sip") => Parts::of_sip(rest).map(Self::User),
            _ if is(scheme, b"im") || is(scheme, b"pres") => Parts::of_mailbox(rest).map(Self::User),
            _ if is(scheme, b"tel") => Ok(Self::Number(rest)),
            _ if is(scheme, b"sips") => Err(AddressError::Sips),
            _ => Err(AddressError::Scheme),
        }
    }
}

impl<'a> Parts<'a> {
    /// Splits at the first `@`: the user part of a valid URI has no other, and it alone may have a `?`.
    fn of_sip(uri: &'a [u8]) -> Result<Self, AddressError> {
        let (user_info, rest) = cut(uri, b'@').ok_or(AddressError::NoUser)?;
        let user = cut(user_info, b':').map_or(user_info, |(user, _password)| user);
        let rest = cut(rest, b'?').map_or(rest, |(rest, _headers)| rest);
        Self::new(user, rest)
    }

    /// A mailbox has no password, and headers follow the first `?` (RFC 3860 §3, RFC 3859 §3).
    fn of_mailbox(uri: &'a [u8]) -> Result<Self, AddressError> {
        let mailbox = cut(uri, b'?').map_or(uri, |(mailbox, _headers)| mailbox);
        let (user, rest) = cut(mailbox, b'@').ok_or(AddressError::NoUser)?;
        if user.contains(&b':') {
            return Err(AddressError::User);
        }
        Self::new(user, rest)
    }

    fn new(user: &'a [u8], rest: &'a [u8]) -> Result<Self, AddressError> {
        if user.is_empty() {
            return Err(AddressError::NoUser);
        }
        if user.iter().any(|byte| byte.is_ascii_control() || b" <>\"".contains(byte)) {
            return Err(AddressError::User);
        }
        let Some((host_port, parameters)) = cut(rest, b';') else {
            return Ok(Self { user, host: without_port(rest)?, gr: None, is_phone: false });
        };
        let mut parts = Self { user, host: without_port(host_port)?, gr: None, is_phone: false };
        for parameter in parameters.split(|byte| *byte == b';') {
            parts.parameter(parameter)?;
        }
        Ok(parts)
    }

    /// A `gr` without a value marks a temporary GRUU (RFC 5627 §3.1.2).
    fn parameter(&mut self, parameter: &'a [u8]) -> Result<(), AddressError> {
        let (name, value) = cut(parameter, b'=').unwrap_or((parameter, b""));
        if is(name, b"gr") {
            if value.is_empty() {
                return Err(AddressError::TemporaryGruu);
            }
            self.gr = self.gr.or(Some(value));
        } else if is(name, b"user") {
            self.is_phone = is(value, b"phone");
        }
        Ok(())
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

    fn parts(uri: &[u8]) -> Result<Parts<'_>, AddressError> {
        match Uri::new(uri)? {
            Uri::User(parts) => Ok(parts),
            Uri::Number(_) => Err(AddressError::Tel),
        }
    }

    #[test]
    fn password_port_parameters_and_headers_are_dropped() {
        let uri = b"SIP:a;b?c:secret@h.example:5060;transport=tcp;USER=Phone;gr=urn:uuid:1;gr=2;lr?Subject=x@y";
        let whole = Parts { user: b"a;b?c", host: b"h.example", gr: Some(b"urn:uuid:1"), is_phone: true };
        assert_eq!(parts(uri), Ok(whole));
        assert!(!parts(b"sip:a;user=phone@h.example;user=ip").unwrap().is_phone);
    }

    #[test]
    fn a_mailbox_has_headers_and_no_password() {
        let whole = Parts { user: b"a;b", host: b"h.example", gr: None, is_phone: false };
        assert_eq!(parts(b"IM:a;b@h.example?Subject=x@y"), Ok(whole));
        assert_eq!(parts(b"pres:a?b@h.example"), Err(AddressError::NoUser));
        assert_eq!(parts(b"im:a:b@h.example"), Err(AddressError::User));
        assert_eq!(parts(b"im:\"a\"@h.example"), Err(AddressError::User));
    }

    #[test]
    fn a_temporary_gruu_is_for_no_other_network() {
        for uri in [&b"sip:tgruu.7hs==jd7@h;gr"[..], b"sip:tgruu.7hs==jd7@h;transport=tcp;GR=", b"sip:a@h;gr;gr=x"] {
            assert_eq!(parts(uri), Err(AddressError::TemporaryGruu));
        }
    }

    #[test]
    fn an_ipv6_reference_keeps_its_brackets() {
        assert_eq!(parts(b"sip:a@[2001:db8::1]:5060").unwrap().host, b"[2001:db8::1]");
        assert_eq!(parts(b"sip:a@[2001:db8::1"), Err(AddressError::Domain));
        assert_eq!(parts(b"sip:a@[::1]x"), Err(AddressError::Domain));
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
            (b"sip::secret@h", AddressError::NoUser),
            (b"sip:a b@h", AddressError::User),
            (b"sip:a\r\nX: y@h", AddressError::User),
            (b"sip:a@h:50a", AddressError::Domain),
        ] {
            assert_eq!(parts(uri), Err(error), "{uri:?}");
        }
    }
}
