//! How addresses of one side are written on the other: the same (no parameter), domain by domain (`gwmap`, `sip_domain`), or in the user
//! part (`domain_separator`, `gateway_domain`); and the domain of telephone numbers (`tel_domain`).

use super::Component;
use super::Error;
use super::Parameters;
use super::TAKES_DOMAIN;
use super::domain;
use super::required;
use crate::address::Addresses;
use crate::address::DomainPair;
use crate::address::Scheme;
use crate::address::SchemeError;

/// Which of the schemes the parameters ask for.
pub(super) fn addresses(parameters: &Parameters, components: &[Component]) -> Result<Addresses, Error> {
    let gateway_domain = parameters.gateway_domain.as_deref().map(|value| domain("gateway_domain", value)).transpose()?;
    let pairs = pairs(parameters)?;
    let scheme = match &parameters.domain_separator {
        Some(separator) => Scheme::Encoded {
            separator: separator.clone(),
            gateway_domain: gateway_domain.ok_or(Error {
                parameter: "gateway_domain",
                value: None,
                takes: "the SIP domain of the gateway, needed because domain_separator is set",
            })?,
            xmpp_domain: required("xmpp_domain", parameters.xmpp_domain.as_deref(), TAKES_DOMAIN)
                .and_then(|value| domain("xmpp_domain", value))?,
            pairs,
        },
        None if pairs.is_empty() => Scheme::Transparent,
        None => Scheme::Mapped(pairs),
    };
    let addresses = Addresses::new(scheme).map_err(|error| match error {
        SchemeError::Separator(value) => Error { parameter: "domain_separator", value: Some(value), takes: TAKES_SEPARATOR },
        SchemeError::Domain(value) | SchemeError::SipTwice(value) | SchemeError::XmppTwice(value) => {
            Error { parameter: "gwmap", value: Some(value), takes: TAKES_MAP }
        }
    })?;
    let addresses = components.iter().try_fold(addresses, |addresses, Component { domain, .. }| {
        addresses.of_component(domain).map_err(|_| Error {
            parameter: "xmpp_domain",
            value: Some(domain.clone()),
            takes: TAKES_DOMAIN,
        })
    })?;
    match &parameters.tel_domain {
        None => Ok(addresses),
        Some(tel) => addresses.with_tel_domain(tel).map_err(|_| Error {
            parameter: "tel_domain",
            value: Some(tel.clone()),
            takes: TAKES_DOMAIN,
        }),
    }
}

fn pairs(parameters: &Parameters) -> Result<Vec<DomainPair>, Error> {
    let mut pairs = Vec::new();
    if let (Some(sip_domain), Some(sip)) = (&parameters.sip_domain, &parameters.xmpp_domain) {
        if parameters.domain_separator.is_some() {
            let takes = "no value beside domain_separator, which moves whole addresses into the user part";
            return Err(Error { parameter: "sip_domain", value: Some(sip_domain.clone()), takes });
        }
        // As in the stock modules: the SIP users of xmpp_domain have this domain in XMPP, and the component logs in under it.
        pairs.push(DomainPair { sip: domain("xmpp_domain", sip)?, xmpp: domain("sip_domain", sip_domain)? });
    }
    for line in &parameters.gwmap {
        let wrong = || Error { parameter: "gwmap", value: Some(line.clone()), takes: TAKES_MAP };
        for entry in line.split(';').map(str::trim).filter(|entry| !entry.is_empty()) {
            let (sip, xmpp) = entry.split_once('=').ok_or_else(wrong)?;
            let pair = DomainPair {
                sip: domain("gwmap", sip.trim()).map_err(|_| wrong())?,
                xmpp: domain("gwmap", xmpp.trim()).map_err(|_| wrong())?,
            };
            pairs.push(pair);
        }
    }
    Ok(pairs)
}

const TAKES_SEPARATOR: &str = "one to eight ASCII characters that no domain has, as in \"*\"";
const TAKES_MAP: &str = "pairs of domains, as in \"sip.example.com=xmpp.example.com;sip.example.org=example.org\", \
                         each domain once on its side";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Backend;
    use crate::config::Config;
    use crate::config::tests::minimal;
    use crate::config::tests::refusal;

    #[test]
    fn a_map_with_a_domain_twice_is_refused() {
        let parameters = Parameters { gwmap: vec!["a.x=b.y;a.x=c.z".into()], ..minimal() };
        assert!(refusal(&parameters).starts_with("parameter gwmap is \"a.x\"; it takes pairs of domains"));
    }

    #[test]
    fn lines_of_gwmap_add_up() {
        let parameters = Parameters { gwmap: vec!["a.x = b.y; c.x=d.y;".into(), "e.x=f.y".into()], ..minimal() };
        let addresses = Config::from_parameters(&parameters).unwrap().addresses;
        for (sip, xmpp) in [("a.x", "b.y"), ("c.x", "d.y"), ("e.x", "f.y")] {
            let jid = addresses.sip_to_jid(format!("sip:user@{sip}").as_bytes()).unwrap();
            assert_eq!(jid.as_str(), format!("user@{xmpp}"));
        }
    }

    #[test]
    fn sip_domain_is_the_name_of_the_sip_users_in_xmpp() {
        let parameters =
            Parameters { xmpp_domain: Some("example.com".into()), sip_domain: Some("sip.example.com".into()), ..minimal() };
        let config = Config::from_parameters(&parameters).unwrap();
        let Backend::Components(components) = &config.backend;
        assert_eq!(components.first().unwrap().domain, "sip.example.com");
        let jid = config.addresses.sip_to_jid(b"sip:juliet@example.com").unwrap();
        assert_eq!(jid.as_str(), "juliet@sip.example.com");
        assert_eq!(config.addresses.jid_to_sip(&jid).unwrap(), "sip:juliet@example.com");
    }

    #[test]
    fn tel_domain_is_the_domain_of_telephone_numbers() {
        let parameters = Parameters { tel_domain: Some("Sip.Example.com".into()), ..minimal() };
        let addresses = Config::from_parameters(&parameters).unwrap().addresses;
        assert_eq!(addresses.sip_to_jid(b"tel:+1-201-555-0123").unwrap().as_str(), "+12015550123@sip.example.com");
        let parameters = Parameters { tel_domain: Some("not a domain".into()), ..minimal() };
        assert_eq!(
            refusal(&parameters),
            "parameter tel_domain is \"not a domain\"; it takes a domain name, as in \"sip.example.com\""
        );
    }

    #[test]
    fn the_encoded_scheme_needs_its_gateway_domain() {
        let parameters = Parameters { domain_separator: Some("*".into()), ..minimal() };
        assert!(refusal(&parameters).starts_with("parameter gateway_domain is not set"));
    }

    #[test]
    fn a_separator_that_could_be_part_of_a_domain_is_refused() {
        for separator in ["a", "-", ".", "*.", "", " "] {
            let parameters = Parameters {
                domain_separator: Some(separator.into()),
                gateway_domain: Some("gw.example.com".into()),
                ..minimal()
            };
            assert!(refusal(&parameters).starts_with("parameter domain_separator"), "{separator}");
        }
    }
}
