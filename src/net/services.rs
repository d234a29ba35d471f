//! Where a service of a domain is to be had, as its SRV records say (RFC 2782).

use crate::config::Server;

/// What DNS says of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Services {
    /// Nothing: what is usual is to be tried.
    Unknown,
    /// That the domain has none.
    None,
    /// Where it is.
    At(Vec<Service>),
}

/// One place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Service {
    pub(crate) priority: u16,
    pub(crate) weight: u16,
    pub(crate) server: Server,
}

impl Services {
    /// What these records say together.
    pub(super) fn of(records: Vec<Service>) -> Self {
        if records.is_empty() {
            return Self::Unknown;
        }
        // The root says that there is no such service.
        let at: Vec<Service> = records.into_iter().filter(|record| !record.server.host.is_empty()).collect();
        if at.is_empty() { Self::None } else { Self::At(at) }
    }
}

/// The order in which they are to be tried: by priority, and with the same one as often as their weight says.
pub(crate) fn ordered<T>(mut services: Vec<(Service, T)>, mut dice: impl FnMut() -> u64) -> Vec<(Server, T)> {
    // Those without weight first: they have a chance only if the lot is the least.
    services.sort_by_key(|(service, _)| (service.priority, service.weight));
    let mut ordered = Vec::new();
    while let Some(priority) = services.first().map(|(service, _)| service.priority) {
        let same = || services.iter().take_while(|(service, _)| service.priority == priority);
        let sum: u64 = same().map(|(service, _)| u64::from(service.weight)).sum();
        let lot = dice().checked_rem(sum.saturating_add(1)).unwrap_or(0);
        let mut passed = 0_u64;
        let reached = same().position(|(service, _)| {
            passed = passed.saturating_add(u64::from(service.weight));
            passed >= lot
        });
        let (service, more) = services.remove(reached.unwrap_or(0));
        ordered.push((service.server, more));
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(priority: u16, weight: u16, host: &str) -> Service {
        Service { priority, weight, server: Server { host: host.to_owned(), port: 5222 } }
    }

    #[test]
    fn the_root_alone_is_no_server() {
        assert_eq!(Services::of(vec![]), Services::Unknown);
        assert_eq!(Services::of(vec![service(0, 0, "")]), Services::None);
        assert_eq!(Services::of(vec![service(0, 0, ""), service(1, 0, "a")]), Services::At(vec![service(1, 0, "a")]));
    }

    #[test]
    fn priority_goes_before_weight_and_weight_is_a_chance() {
        let services = [
            service(10, 0, "zero"),
            service(10, 90, "heavy"),
            service(10, 10, "light"),
            service(5, 0, "first"),
            service(20, 99, "last"),
        ];
        let hosts = |lot: u64| {
            let ordered = ordered(services.iter().map(|service| (service.clone(), ())).collect(), || lot);
            ordered.into_iter().map(|(server, ())| server.host).collect::<Vec<_>>()
        };
        assert_eq!(hosts(0), ["first", "zero", "light", "heavy", "last"]);
        assert_eq!(hosts(10), ["first", "light", "heavy", "zero", "last"]);
        assert_eq!(hosts(11), ["first", "heavy", "zero", "light", "last"]);
    }
}
