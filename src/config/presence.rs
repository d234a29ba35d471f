//! Where SIP users find the presence of XMPP users (`presence_mode`).

use std::time::Duration;

use super::Config;
use super::Error;
use super::Parameters;
use super::number;
use crate::sip::Uri;

/// How it gets to the presence server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PresenceMode {
    /// To any presence server: pua sends PUBLISH, and a script tells of watchers by `pua_xmpp_req_winfo()`.
    Pua,
    /// To the one of this SIP server: no SIP request between it and the gateway.
    Local,
    /// To none: SIP users see XMPP users by dialogs with the gateway alone.
    None,
}

/// What SIP users are shown of an XMPP user with several resources (`presence_composition`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PresenceComposition {
    /// Each resource, as a tuple of its own.
    All,
    /// The one where the user is most available.
    MostAvailable,
}

pub(super) fn composition(parameters: &Parameters) -> Result<PresenceComposition, Error> {
    match parameters.presence_composition.as_deref() {
        None | Some("all") => Ok(PresenceComposition::All),
        Some("most-available") => Ok(PresenceComposition::MostAvailable),
        Some(other) => {
            let takes = "\"all\" (a tuple for each resource) or \"most-available\" (one tuple: of the resource where a user is most available)";
            Err(Error { parameter: "presence_composition", value: Some(other.to_owned()), takes })
        }
    }
}

pub(super) fn mode(parameters: &Parameters) -> Result<PresenceMode, Error> {
    match parameters.presence_mode.as_deref() {
        None | Some("pua") => Ok(PresenceMode::Pua),
        Some("local") => Ok(PresenceMode::Local),
        Some("none") => Ok(PresenceMode::None),
        Some(other) => {
            let takes = "\"pua\" (PUBLISH to the presence server), \"local\" (the presence server of this SIP server, without SIP between) \
                         or \"none\" (no presence server: xmpp_handle_subscribe() alone)";
            Err(Error { parameter: "presence_mode", value: Some(other.to_owned()), takes })
        }
    }
}

/// How long an XMPP user is waited for. The parameter is that of the hosts' presence servers, which keep a watcher who waits as long.
pub(super) fn waiting_subs(parameters: &Parameters) -> Result<Duration, Error> {
    let days = number("waiting_subs_daysno", parameters.waiting_subs_daysno, 1..=30, 3, TAKES_DAYS)?;
    Ok(Duration::from_secs(u64::from(days).saturating_mul(24 * 3600)))
}

/// How long a refusal stands.
pub(super) fn ask_again(parameters: &Parameters) -> Result<Option<Duration>, Error> {
    let seconds = number("ask_again_interval", parameters.ask_again_interval, 0..=MONTH, DAY, TAKES_ASK_AGAIN)?;
    Ok(Some(Duration::from_secs(seconds.into())).filter(|interval| !interval.is_zero()))
}

/// RFC 3856 §6.10 recommends 5 s. The hosts' own presence servers wait for nothing, and a user who makes too much traffic is slowed down
/// anyway, so it is the operator's to ask for.
pub(super) fn notify_interval(parameters: &Parameters) -> Result<Duration, Error> {
    let seconds = number("notify_interval", parameters.notify_interval, 0..=60, 0, TAKES_NOTIFY_INTERVAL)?;
    Ok(Duration::from_secs(seconds.into()))
}

const DAY: u32 = 86_400;
const MONTH: u32 = 30 * DAY;

const TAKES_ASK_AGAIN: &str = "the seconds for which a refusal stands, from 1 to 2592000, or 0 (for ever)";
const TAKES_NOTIFY_INTERVAL: &str = "the seconds between two NOTIFYs of new states, from 0 (none) to 60";
const TAKES_DAYS: &str = "the days for which an XMPP user is waited for, from 1 to 30";

impl Config {
    /// Who watches the watchers: From of presence.winfo subscriptions.
    pub(crate) fn winfo_watcher(&self) -> Uri {
        let server = self.presence_server.as_ref().unwrap_or(&self.server_address);
        Uri::new(address_of_record(server).to_owned()).unwrap_or_else(|| server.clone())
    }
}

/// A URI without port, parameters and headers: presence servers write From and To of their NOTIFYs without them, and a host's pua finds
/// a dialog only if they are spelled as they were sent.
fn address_of_record(uri: &str) -> &str {
    let host = uri.find('@').or_else(|| uri.find(':')).map_or(0, |at| at.saturating_add(1));
    let address = uri.get(host..).filter(|rest| rest.starts_with('[')).and_then(|rest| rest.find(']')).unwrap_or(0);
    let name = host.saturating_add(address);
    let end = uri.get(name..).and_then(|rest| rest.find([':', ';', '?'])).and_then(|length| name.checked_add(length));
    end.and_then(|end| uri.get(..end)).unwrap_or(uri)
}

#[cfg(test)]
mod tests {
    use super::super::tests::minimal;
    use super::super::tests::refusal;
    use super::*;

    #[test]
    fn presence_goes_through_pua_unless_it_is_local() {
        let given = |mode: Option<&str>| Parameters { presence_mode: mode.map(str::to_owned), ..minimal() };
        for (mode, wanted) in [
            (None, PresenceMode::Pua),
            (Some("pua"), PresenceMode::Pua),
            (Some("local"), PresenceMode::Local),
            (Some("none"), PresenceMode::None),
        ] {
            assert_eq!(Config::from_parameters(&given(mode)).unwrap().presence_mode, wanted);
        }
        assert!(refusal(&given(Some("Local"))).starts_with("parameter presence_mode is \"Local\"; it takes \"pua\""));
    }

    #[test]
    fn all_resources_are_shown_unless_one_stands_for_all() {
        let given = |value: Option<&str>| Parameters { presence_composition: value.map(str::to_owned), ..minimal() };
        for (value, wanted) in [
            (None, PresenceComposition::All),
            (Some("all"), PresenceComposition::All),
            (Some("most-available"), PresenceComposition::MostAvailable),
        ] {
            assert_eq!(Config::from_parameters(&given(value)).unwrap().presence_composition, wanted);
        }
        assert!(refusal(&given(Some("best"))).starts_with("parameter presence_composition is \"best\"; it takes \"all\""));
    }

    #[test]
    fn times_have_bounds_that_are_named() {
        let given = |ask_again_interval, notify_interval| Parameters { ask_again_interval, notify_interval, ..minimal() };
        let day = Duration::from_secs(86_400);
        for (ask_again, notify, wanted) in [
            (None, None, (Some(day), Duration::ZERO)),
            (Some(0), Some(0), (None, Duration::ZERO)),
            (Some(2_592_000), Some(5), (Some(30 * day), Duration::from_secs(5))),
        ] {
            let config = Config::from_parameters(&given(ask_again, notify)).unwrap();
            assert_eq!((config.ask_again, config.notify_interval), wanted);
        }
        for (ask_again, notify, wanted) in [
            (Some(-1), None, "parameter ask_again_interval is \"-1\"; it takes the seconds"),
            (Some(2_592_001), None, "parameter ask_again_interval is \"2592001\"; it takes the seconds"),
            (None, Some(61), "parameter notify_interval is \"61\"; it takes the seconds"),
        ] {
            assert!(refusal(&given(ask_again, notify)).starts_with(wanted));
        }
    }

    #[test]
    fn an_answer_is_waited_for_as_long_as_the_presence_server_waits() {
        let given = |days| Parameters { waiting_subs_daysno: days, ..minimal() };
        for (days, wanted) in [(None, 3), (Some(1), 1), (Some(30), 30)] {
            let waiting = Config::from_parameters(&given(days)).unwrap().waiting_subs;
            assert_eq!(waiting, Duration::from_secs(wanted * 86_400));
        }
        for days in [0, 31, -1] {
            let wanted = format!("parameter waiting_subs_daysno is \"{days}\"; it takes the days");
            assert!(refusal(&given(Some(days))).starts_with(&wanted));
        }
    }

    #[test]
    fn an_address_of_record_has_neither_port_nor_parameters() {
        for (uri, address) in [
            ("sip:presence@example.com", "sip:presence@example.com"),
            ("sip:presence@example.com:5060", "sip:presence@example.com"),
            ("sip:presence@127.0.0.1:5060;transport=tcp", "sip:presence@127.0.0.1"),
            ("sip:presence@[2001:db8::1]:5060;lr", "sip:presence@[2001:db8::1]"),
            ("sip:a;b=c@example.com;d=e?f=g@h", "sip:a;b=c@example.com"),
            ("sip:127.0.0.1:5060", "sip:127.0.0.1"),
            ("sip:[::1]", "sip:[::1]"),
            ("sip:example.com;lr", "sip:example.com"),
        ] {
            assert_eq!(address_of_record(uri), address);
        }
    }
}
