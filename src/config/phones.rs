//! Phones shown in their users' own XMPP accounts: whether (`phone_state`), the table of accounts, and what they show.

use std::sync::Arc;
use std::time::Duration;

use tokio_rustls::rustls::RootCertStore;

use super::Error;
use super::Parameters;
use super::RateLimit;
use super::Secret;
use super::address_table::database;
use super::address_table::table;
use super::component::roots;
use super::peers::rate_limit;
use crate::phone::presence::Look;
use crate::phone::presence::Looks;
use crate::phone::presence::Show;
use crate::phone::users::Options;
use crate::xmpp::sasl::ShowPassword;

/// What the operator has decided on phones.
#[derive(Debug, Clone)]
pub struct Phones {
    /// The host's database URL.
    pub url: Secret,
    /// The table of accounts (`account_table`).
    pub table: String,
    /// What accounts show that say nothing else.
    pub looks: Looks,
    /// Which states there are besides those of the connector.
    pub options: Options,
    /// Logins a second (`login_rate`).
    pub login_rate: u32,
    /// Whether a password may be shown where nothing is encrypted (`bosh_allow_plain`).
    pub clear: ShowPassword,
    /// Whose certificates are to be trusted (`bosh_ca`, or those that the system trusts).
    pub roots: Arc<RootCertStore>,
    /// How much SIP traffic an XMPP user may cause by messages to phones (`rate_limit`, `rate_limit_domain`).
    pub rate_limit: RateLimit,
    /// How often the table of states is looked at (`phone_state_poll`), and its name (`phone_state_table`); `None`: never.
    pub poll: Option<(Duration, String)>,
}

/// What is to be shown, if anything is.
pub(super) fn phones(parameters: &Parameters) -> Result<Option<Phones>, Error> {
    match parameters.phone_state {
        None | Some(0) => return Ok(None),
        Some(1) => {}
        Some(other) => {
            let takes = "0, or 1 to show phones in their users' XMPP accounts";
            return Err(Error { parameter: "phone_state", value: Some(other.to_string()), takes });
        }
    }
    let url = database(parameters)?.ok_or_else(|| Error {
        parameter: "phone_state",
        value: Some("1".to_owned()),
        takes: "1 only where db_url names a database: it holds the accounts",
    })?;
    let name = parameters.account_table.as_deref().unwrap_or("xmpp_account");
    let looks = looks(parameters)?;
    Ok(Some(Phones {
        url: url.clone(),
        table: table("account_table", name)?,
        options: Options { ringing: looks.ringing.is_some(), on_hold: looks.on_hold.is_some() },
        looks,
        login_rate: number("login_rate", parameters.login_rate, 20, 1..=1000, "logins a second, from 1 to 1000")?,
        clear: match number("bosh_allow_plain", parameters.bosh_allow_plain, 0, 0..=1, "0, or 1 to show passwords unencrypted")? {
            0 => ShowPassword::Forbidden,
            _ => ShowPassword::Allowed,
        },
        roots: trusted(parameters)?,
        rate_limit: rate_limit(parameters)?,
        poll: poll(parameters)?,
    }))
}

fn looks(parameters: &Parameters) -> Result<Looks, Error> {
    let usual = Looks::default();
    let takes = "a priority from -128 to 127";
    let priority = number("phone_priority", parameters.phone_priority, usual.online.priority, -128..=127, takes)?;
    let show = |parameter, given: &Option<String>, usual| match given {
        None => Ok(usual),
        Some(name) => Show::named(name).ok_or_else(|| Error {
            parameter,
            value: Some(name.clone()),
            takes: "\"online\", \"away\", \"chat\", \"dnd\" or \"xa\"",
        }),
    };
    let text = |given: &Option<String>, usual: &str| given.clone().unwrap_or_else(|| usual.to_owned());
    let call_show = show("phone_call_show", &parameters.phone_call_show, usual.on_the_phone.show)?;
    // A state that is shown says so.
    let shown = |given: &Option<String>, show| {
        given.clone().filter(|status| !status.is_empty()).map(|status| Look { show, status, priority })
    };
    Ok(Looks {
        online: Look { show: usual.online.show, status: text(&parameters.phone_online_status, &usual.online.status), priority },
        ringing: shown(&parameters.phone_ringing_status, usual.online.show),
        on_the_phone: Look { show: call_show, status: text(&parameters.phone_call_status, &usual.on_the_phone.status), priority },
        on_hold: shown(&parameters.phone_hold_status, call_show),
    })
}

fn trusted(parameters: &Parameters) -> Result<Arc<RootCertStore>, Error> {
    if let Some(path) = &parameters.bosh_ca {
        return roots("bosh_ca", path);
    }
    let mut roots = RootCertStore::empty();
    // What cannot be read is not trusted; without any, connections say why they are not made.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    Ok(Arc::new(roots))
}

fn poll(parameters: &Parameters) -> Result<Option<(Duration, String)>, Error> {
    let takes = "seconds from 1 to 3600, or 0 for never";
    let seconds: u64 = number("phone_state_poll", parameters.phone_state_poll, 0, 0..=3600, takes)?;
    let name = table("phone_state_table", parameters.phone_state_table.as_deref().unwrap_or("xmpp_phone_state"))?;
    Ok((seconds > 0).then(|| (Duration::from_secs(seconds), name)))
}

fn number<N: TryFrom<i64>>(
    parameter: &'static str,
    given: Option<i64>,
    usual: N,
    range: std::ops::RangeInclusive<i64>,
    takes: &'static str,
) -> Result<N, Error> {
    let Some(given) = given else { return Ok(usual) };
    let wrong = || Error { parameter, value: Some(given.to_string()), takes };
    if range.contains(&given) { N::try_from(given).map_err(|_| wrong()) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::config::tests::minimal;
    use crate::config::tests::refusal;
    use crate::phone::state::Shown;

    fn with(change: impl FnOnce(&mut Parameters)) -> Parameters {
        let mut parameters = Parameters { phone_state: Some(1), db_url: Some("sqlite:///db".into()), ..minimal() };
        change(&mut parameters);
        parameters
    }

    fn read(change: impl FnOnce(&mut Parameters)) -> Phones {
        Config::from_parameters(&with(change)).unwrap().phones.unwrap()
    }

    #[test]
    fn no_phone_is_shown_unless_it_is_asked_for() {
        for phone_state in [None, Some(0)] {
            assert!(Config::from_parameters(&with(|all| all.phone_state = phone_state)).unwrap().phones.is_none());
        }
    }

    #[test]
    fn what_is_not_said_is_as_of_old() {
        let phones = read(|_| {});
        assert_eq!((&*phones.table, phones.login_rate, phones.clear), ("xmpp_account", 20, ShowPassword::Forbidden));
        assert_eq!((phones.looks, phones.options, phones.poll), (Looks::default(), Options::default(), None));
    }

    #[test]
    fn states_are_shown_as_the_operator_says() {
        let phones = read(|all| {
            all.phone_call_show = Some("away".into());
            all.phone_hold_status = Some("On hold".into());
            all.phone_ringing_status = Some(String::new());
            all.phone_priority = Some(0);
            all.phone_state_poll = Some(1);
        });
        let hold = phones.looks.of(Shown::OnHold).unwrap();
        assert_eq!((hold.show, &*hold.status, hold.priority), (Show::Away, "On hold", 0));
        assert_eq!(phones.options, Options { ringing: false, on_hold: true });
        assert_eq!(phones.poll, Some((Duration::from_secs(1), "xmpp_phone_state".to_owned())));
    }

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        type Change = fn(&mut Parameters);
        let cases: [(Change, &str); 8] = [
            (|all| all.phone_state = Some(2), "parameter phone_state is \"2\""),
            (|all| all.db_url = None, "parameter phone_state is \"1\""),
            (|all| all.account_table = Some("a b".into()), "parameter account_table is \"a b\""),
            (|all| all.login_rate = Some(0), "parameter login_rate is \"0\""),
            (|all| all.phone_priority = Some(200), "parameter phone_priority is \"200\""),
            (|all| all.phone_call_show = Some("busy".into()), "parameter phone_call_show is \"busy\""),
            (|all| all.bosh_ca = Some("/nowhere.pem".into()), "parameter bosh_ca is \"/nowhere.pem"),
            (|all| all.phone_state_poll = Some(-1), "parameter phone_state_poll is \"-1\""),
        ];
        for (change, start) in cases {
            let refused = refusal(&with(change));
            assert!(refused.starts_with(start), "{refused}");
        }
    }
}
