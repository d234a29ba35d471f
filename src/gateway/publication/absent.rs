//! XMPP users whom SIP users may see, and of whom nothing is published: what they do while a stream is down nobody tells. So they are asked for
//! when it stands, in the name of one who may see them.

use std::collections::BTreeMap;

use crate::address::domain_of;
use crate::config::MAX_COMPONENTS;
use crate::gateway::publication::MAX_PUBLICATIONS;
use crate::gateway::share::Shares;

/// Who is to be asked for over which stream.
#[derive(Debug)]
pub(super) struct Absent {
    /// By XMPP user, a bare JID, and domain of SIP users: a SIP user of that domain who may see the XMPP user.
    seen_by: BTreeMap<(String, String), String>,
    shares: Shares,
}

impl Absent {
    pub(super) fn new() -> Self {
        Self { seen_by: BTreeMap::new(), shares: Shares::new(MAX_COMPONENTS, MAX_PUBLICATIONS) }
    }

    /// Nothing of this user is published for this SIP user, bare JIDs. For whom there is no place is asked for no more.
    pub(super) fn insert(&mut self, user: &str, to: &str) {
        let key = (user.to_owned(), domain_of(to).into_owned());
        if self.seen_by.contains_key(&key) || self.shares.take(user).is_ok() {
            self.seen_by.insert(key, to.to_owned());
        }
    }

    /// The user tells this SIP user by itself, or may be seen by it no more.
    pub(super) fn remove(&mut self, user: &str, to: &str) {
        let key = (user.to_owned(), domain_of(to).into_owned());
        if self.seen_by.get(&key).is_some_and(|asks| asks == to) {
            self.seen_by.remove(&key);
            self.shares.give_back(user);
        }
    }

    /// Whom to ask for over the stream of a domain: domain and XMPP user, and the SIP user in whose name.
    pub(super) fn of_domain(&self, domain: &str) -> impl Iterator<Item = ((String, String), String)> {
        let of_domain = self.seen_by.iter().filter(move |((_, of), _)| of == domain);
        of_domain.map(|((user, domain), to)| ((domain.clone(), user.clone()), to.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_back_leaves_its_place_to_others() {
        let mut absent = Absent::new();
        for number in 0..2 * MAX_PUBLICATIONS {
            let user = format!("u{number}@d{}", number % 7);
            absent.insert(&user, "j@s");
            absent.remove(&user, "j@s");
        }
        absent.insert("r@x", "j@s");
        absent.insert("r@x", "k@t");
        let asked = |domain| absent.of_domain(domain).map(|(_, to)| to).collect::<Vec<_>>();
        assert_eq!((asked("s"), asked("t"), asked("u").len()), (vec!["j@s".to_owned()], vec!["k@t".to_owned()], 0));
    }
}
