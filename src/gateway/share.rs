//! What one user, and all users of one domain, may take of a table that is there for everybody.
//!
//! Names cost a stranger nothing: a table with nothing but an end could be filled by one, and would be closed to all others. Domains
//! cost little more; who makes many of them meets the end of the table, and `allow_domain`.

use std::collections::HashMap;
use std::fmt;

use crate::xmpp::stanza::domain_of;

/// Who has taken how many places of one table. As long as the table: who has none is not remembered.
#[derive(Debug)]
pub(crate) struct Shares {
    most: Most,
    taken: usize,
    users: HashMap<String, usize>,
    domains: HashMap<String, usize>,
}

/// How many places there are.
#[derive(Debug, Clone, Copy)]
struct Most {
    user: usize,
    domain: usize,
    all: usize,
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    /// The user has as many as one may have.
    User,
    /// The users of this domain have as many as those of one may have.
    Domain,
    /// All are taken.
    All,
}

impl Shares {
    /// Of a table with `all` places, of which one user may have `user`. Those of one domain together leave a quarter to others.
    pub(crate) fn new(user: usize, all: usize) -> Self {
        let most = Most { user, domain: all.saturating_sub(all >> 2), all };
        Self { most, taken: 0, users: HashMap::new(), domains: HashMap::new() }
    }

    /// Takes a place for this user, a bare JID.
    pub(crate) fn take(&mut self, user: &str) -> Result<(), Full> {
        let domain = domain_of(user);
        if self.users.get(user).is_some_and(|taken| *taken >= self.most.user) {
            return Err(Full::User);
        }
        if self.domains.get(domain).is_some_and(|taken| *taken >= self.most.domain) {
            return Err(Full::Domain);
        }
        if self.taken >= self.most.all {
            return Err(Full::All);
        }
        self.taken = self.taken.saturating_add(1);
        for (counts, name) in [(&mut self.users, user), (&mut self.domains, domain)] {
            match counts.get_mut(name) {
                Some(taken) => *taken = taken.saturating_add(1),
                None => drop(counts.insert(name.to_owned(), 1)),
            }
        }
        Ok(())
    }

    /// A place of this user is free again.
    pub(crate) fn give_back(&mut self, user: &str) {
        self.taken = self.taken.saturating_sub(1);
        for (counts, name) in [(&mut self.users, user), (&mut self.domains, domain_of(user))] {
            match counts.get_mut(name) {
                Some(taken @ 2..) => *taken = taken.saturating_sub(1),
                Some(_) | None => drop(counts.remove(name)),
            }
        }
    }
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::User => "one user may have no more",
            Self::Domain => "one domain may have no more",
            Self::All => "all are taken",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_user_or_domain_leaves_places_to_others() {
        let mut shares = Shares::new(2, 8);
        let mut take = |user: &str| shares.take(user);
        assert_eq!([take("a@x.example"), take("a@x.example"), take("a@x.example")], [Ok(()), Ok(()), Err(Full::User)]);
        assert_eq!([take("b@x.example"), take("b@x.example"), take("c@x.example")], [Ok(()); 3]);
        assert_eq!([take("c@x.example"), take("d@x.example")], [Ok(()), Err(Full::Domain)]);
        assert_eq!([take("x.example"), take("a@y.example"), take("b@y.example")], [Err(Full::Domain), Ok(()), Ok(())]);
        assert_eq!(take("c@y.example"), Err(Full::All));
    }

    #[test]
    fn what_is_given_back_can_be_taken_and_is_forgotten() {
        let mut shares = Shares::new(1, 4);
        for _ in 0..3 {
            assert_eq!(shares.take("a@x.example"), Ok(()));
            assert_eq!(shares.take("a@x.example"), Err(Full::User));
            shares.give_back("a@x.example");
        }
        assert_eq!((shares.taken, shares.users.len(), shares.domains.len()), (0, 0, 0));
    }
}
