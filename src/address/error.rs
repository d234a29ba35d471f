//! Why an address cannot be translated.

/// Why an address has no counterpart. All but [`Self::Sips`] and [`Self::Tel`] are the fault of whoever wrote the address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressError {
    /// The URI is not of a scheme that names a user: `sip`, `im` or `pres`.
    Scheme,
    /// A `sips:` URI: XMPP cannot keep its promise, so it must not be translated (RFC 7247 §8).
    Sips,
    /// A `tel:` URI that is no global number, or no domain is known for telephone numbers.
    Tel,
    /// A temporary GRUU, which tells nobody whose it is.
    TemporaryGruu,
    /// It names a domain, not a user.
    NoUser,
    /// The user is no valid UTF-8 once decoded, has a character that no localpart may have, or begins or ends with a space.
    User,
    /// The resource, or the value of `gr`, is no valid resource.
    Resource,
    /// The domain is no DNS name and no IP address.
    Domain,
    /// Longer than RFC 7622 allows.
    TooLong,
    /// It is another spelling of an address that has a canonical one in XMPP or under the configured scheme: it would not come back.
    Ambiguous,
    /// Its domain is not the one that the component speaks for.
    Foreign,
    /// Its domain is one that the operator does not allow.
    Denied,
    /// It is that of a SIP user where an XMPP user's should stand.
    Loop,
}

impl std::fmt::Display for AddressError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Scheme => "not a sip:, im: or pres: URI",
            Self::Sips => "a sips: URI must not be translated, as XMPP cannot promise TLS on every hop",
            Self::Tel => "a tel: URI has an XMPP address only as a global number, and only if tel_domain is set",
            Self::TemporaryGruu => "a temporary GRUU stands for a user who is not to be known",
            Self::NoUser => "the address names no user",
            Self::User => "the user part has a character that cannot be translated",
            Self::Resource => "the resource cannot be translated",
            Self::Domain => "the domain is not valid",
            Self::TooLong => "the address is too long",
            Self::Ambiguous => {
                "the address has another spelling in XMPP, or under the configured scheme, and would not come back"
            }
            Self::Foreign => "the domain is not the gateway's own in XMPP",
            Self::Denied => "the domain is not allowed",
            Self::Loop => "the address is that of a SIP user",
        })
    }
}

impl std::error::Error for AddressError {}

impl From<jid::Error> for AddressError {
    fn from(error: jid::Error) -> Self {
        match error {
            jid::Error::NodeEmpty => Self::NoUser,
            jid::Error::NodePrep => Self::User,
            jid::Error::NodeTooLong | jid::Error::ResourceTooLong => Self::TooLong,
            jid::Error::NamePrep | jid::Error::Idna | jid::Error::TooManyAts => Self::Domain,
            jid::Error::ResourceEmpty
            | jid::Error::ResourcePrep
            | jid::Error::ResourceMissingInFullJid
            | jid::Error::ResourceInBareJid => Self::Resource,
        }
    }
}
