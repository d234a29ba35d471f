//! XMPP peers: with which domains there is traffic (`allow_domain`, `deny_domain`), and how much (`rate_limit`, `rate_limit_domain`).

use super::Error;
use super::Parameters;
use crate::address::Domains;
use crate::address::PeerDomains;

/// SIP requests per second; 0: any number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// Of one bare JID (`rate_limit`).
    pub jid: u32,
    /// Of all users of one XMPP domain (`rate_limit_domain`).
    pub domain: u32,
}

/// The domains that we speak with.
pub(super) fn domains(parameters: &Parameters) -> Result<PeerDomains, Error> {
    let list = |parameter, lines: &[String]| {
        let mut domains = Domains::default();
        for line in lines {
            let mut entries = line.split(';').map(str::trim).filter(|entry| !entry.is_empty()).peekable();
            if entries.peek().is_none() || !entries.all(|entry| domains.add(entry)) {
                return Err(Error { parameter, value: Some(line.clone()), takes: TAKES_PEERS });
            }
        }
        Ok(domains)
    };
    let allow = list("allow_domain", &parameters.allow_domain)?;
    Ok(PeerDomains::new(allow, list("deny_domain", &parameters.deny_domain)?))
}

/// Both limits.
pub(super) fn rate_limit(parameters: &Parameters) -> Result<RateLimit, Error> {
    Ok(RateLimit {
        jid: rate("rate_limit", parameters.rate_limit, DEFAULT_RATE_LIMIT)?,
        domain: rate("rate_limit_domain", parameters.rate_limit_domain, DEFAULT_RATE_LIMIT_DOMAIN)?,
    })
}

const TAKES_PEERS: &str = "domains of XMPP users, as in \"example.org\", or \"*.example.org\" for all domains under it";

/// A user at a keyboard sends a few stanzas a second; an alarm system in one name, tens.
const DEFAULT_RATE_LIMIT: u32 = 100;

const DEFAULT_RATE_LIMIT_DOMAIN: u32 = 1000;

const MAX_RATE_LIMIT: u32 = 1_000_000;

fn rate(parameter: &'static str, given: Option<i64>, default: u32) -> Result<u32, Error> {
    let Some(given) = given else { return Ok(default) };
    let takes = "SIP requests per second, 1 to 1000000, or 0 for no limit";
    let wrong = Error { parameter, value: Some(given.to_string()), takes };
    u32::try_from(given).ok().filter(|rate| *rate <= MAX_RATE_LIMIT).ok_or(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::AddressError;
    use crate::config::Config;
    use crate::config::tests::minimal;
    use crate::config::tests::refusal;

    #[test]
    fn a_limit_is_a_number_that_makes_sense() {
        let limit = |rate_limit, rate_limit_domain| Parameters { rate_limit, rate_limit_domain, ..minimal() };
        let of = |parameters: &Parameters| Config::from_parameters(parameters).unwrap().rate_limit;
        assert_eq!(of(&limit(None, None)), RateLimit { jid: 100, domain: 1000 });
        assert_eq!(of(&limit(Some(0), Some(1_000_000))), RateLimit { jid: 0, domain: 1_000_000 });
        for wrong in [-1, 1_000_001, i64::MAX] {
            let said = refusal(&limit(Some(wrong), None));
            assert!(
                said.starts_with(&format!("parameter rate_limit is \"{wrong}\"; it takes SIP requests per second")),
                "{said}"
            );
            assert!(refusal(&limit(None, Some(wrong))).starts_with("parameter rate_limit_domain is"));
        }
    }

    #[test]
    fn lines_of_domains_add_up_and_a_wrong_one_is_named() {
        let deny = |lines: &[&str]| Parameters { deny_domain: lines.iter().map(|line| (*line).into()).collect(), ..minimal() };
        let addresses = Config::from_parameters(&deny(&["a.x; *.b.x", "c.x"])).unwrap().addresses;
        for (domain, allowed) in [("a.x", false), ("b.x", true), ("sub.b.x", false), ("c.x", false), ("d.x", true)] {
            let uri = format!("sip:user@{domain}");
            let expected = if allowed { Ok(()) } else { Err(AddressError::Denied) };
            assert_eq!(addresses.xmpp_user_to_jid(uri.as_bytes()).map(drop), expected, "{domain}");
        }
        for wrong in ["*", "", ";", "a b.x", "user@a.x"] {
            assert!(
                refusal(&deny(&["a.x", wrong])).starts_with(&format!("parameter deny_domain is \"{wrong}\"; it takes domains"))
            );
        }
        let allow = Parameters { allow_domain: vec!["*.".into()], ..minimal() };
        assert!(refusal(&allow).starts_with("parameter allow_domain is \"*.\"; it takes domains of XMPP users"));
    }
}
