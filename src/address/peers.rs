//! With which XMPP domains there is traffic: the operator's lists.
//!
//! They name domains as they are in JIDs, in any spelling. `example.org` is that domain alone, `*.example.org` all domains under it and
//! not itself. What is denied is denied, whatever else is allowed; where nothing is named as allowed, all other domains are.

use std::collections::HashSet;

use super::domain;

/// Which domains of the XMPP network may be spoken with. The default: all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PeerDomains {
    allow: Domains,
    deny: Domains,
}

/// A list of domains, each in its canonical SIP form.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Domains {
    exact: HashSet<String>,
    /// What follows `*.`.
    above: HashSet<String>,
}

impl PeerDomains {
    /// An empty list of allowed domains allows all.
    pub fn new(allow: Domains, deny: Domains) -> Self {
        Self { allow, deny }
    }

    /// Whether all are allowed.
    pub(super) fn is_all(&self) -> bool {
        self.allow.is_empty() && self.deny.is_empty()
    }

    /// Whether this domain, in its canonical SIP form, is.
    pub(super) fn has(&self, domain: &str) -> bool {
        !self.deny.has(domain) && (self.allow.is_empty() || self.allow.has(domain))
    }
}

impl Domains {
    /// Adds `example.org` or `*.example.org`; false for what is neither.
    pub fn add(&mut self, written: &str) -> bool {
        let (name, list) = match written.strip_prefix("*.") {
            Some(name) => (name, &mut self.above),
            None => (written, &mut self.exact),
        };
        let Ok(form) = domain::canonical(name) else { return false };
        list.insert(form.into_owned());
        true
    }

    fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.above.is_empty()
    }

    fn has(&self, domain: &str) -> bool {
        let mut parents = domain.match_indices('.').filter_map(|(dot, _)| domain.get(dot..)?.strip_prefix('.'));
        self.exact.contains(domain) || (!self.above.is_empty() && parents.any(|parent| self.above.contains(parent)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domains(written: &[&str]) -> Domains {
        let mut domains = Domains::default();
        assert!(written.iter().all(|written| domains.add(written)), "{written:?}");
        domains
    }

    #[test]
    fn a_wildcard_is_what_is_under_it_and_not_itself() {
        let peers = PeerDomains::new(Domains::default(), domains(&["*.example.org", "münchen.example"]));
        for (domain, allowed) in [
            ("example.org", true),
            ("a.example.org", false),
            ("a.b.example.org", false),
            ("badexample.org", true),
            ("xn--mnchen-3ya.example", false),
            ("a.xn--mnchen-3ya.example", true),
        ] {
            assert_eq!(peers.has(domain), allowed, "{domain}");
        }
    }

    #[test]
    fn denied_is_denied_and_what_is_not_named_only_where_others_are_allowed() {
        let peers = PeerDomains::new(domains(&["*.example.org", "192.0.2.1"]), domains(&["bad.example.org"]));
        assert!(peers.has("good.example.org") && peers.has("192.0.2.1"));
        assert!(!peers.has("bad.example.org") && !peers.has("example.net"));
        assert!(PeerDomains::default().is_all() && PeerDomains::default().has("example.net"));
    }

    #[test]
    fn what_is_no_domain_is_no_entry() {
        for written in ["", "*", "*.", "a.*.b", "*a.b", "user@a.b", "a b", "a.b/c", "**.a.b"] {
            assert!(!Domains::default().add(written), "{written}");
        }
    }
}
