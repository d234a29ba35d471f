//! Calls shown as dialogs (`dialog_mode` and what belongs to it).

use super::Error;
use super::Parameters;

/// What becomes of the calls that the host's dialog module sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DialogMode {
    /// Nothing.
    Off,
    /// They are seen, and published nowhere: phones are shown in their users' XMPP accounts (`phone_state`).
    Phones,
    /// pua sends PUBLISH (Event: dialog) to any presence server.
    Pua,
    /// The presence server of this SIP server gets them without a SIP request.
    Local,
}

impl DialogMode {
    /// Whether watchers see calls.
    pub fn publishes(self) -> bool {
        match self {
            Self::Off | Self::Phones => false,
            Self::Pua | Self::Local => true,
        }
    }
}

/// Which calls are shown, and what of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Calls {
    /// Where to.
    pub mode: DialogMode,
    /// What is in the documents.
    pub documents: CallDocuments,
    /// What presence for XMPP says of calls; `None`: nothing.
    pub presence: Option<CallPresence>,
    /// The script's variable with the address of the caller; `None`: From has it.
    pub caller_spec: Option<String>,
    /// The script's variable with the address of the callee; `None`: the Request-URI has it, or To.
    pub callee_spec: Option<String>,
    /// Kamailio: whom the Request-URI names is the callee, not To.
    pub callee_is_request_uri: bool,
    /// A re-INVITE with this flag changes nothing that is shown.
    pub nopublish_flag: Option<String>,
    /// Kamailio: only an INVITE with this flag begins a call that is shown.
    pub send_publish_flag: Option<u32>,
    /// Kamailio: an INVITE with this flag begins a call that the caller's watchers do not see.
    pub disable_caller_publish_flag: Option<u32>,
    /// Kamailio: the same for the callee.
    pub disable_callee_publish_flag: Option<u32>,
}

/// What the document of a call says, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallDocuments {
    /// Call-ID.
    pub include_callid: bool,
    /// The tags.
    pub include_tags: bool,
    /// Who the two are, and where.
    pub include_localremote: bool,
    /// The caller is shown as talking while it rings.
    pub caller_confirmed: bool,
    /// Shown before anybody rings.
    pub publish_on_trying: bool,
    /// For how many seconds a call may ring. 0: as tm says.
    pub ring_time: u32,
    /// Lifetime of the publication of a call that is up, in seconds; it is refreshed.
    pub lifetime: u32,
}

/// What presence for XMPP says of calls. An empty text leaves the status as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallPresence {
    /// While the phone rings.
    pub ringing: String,
    /// While the call is up.
    pub talking: String,
    /// While one side holds it.
    pub on_hold: String,
    /// Whether the other side is named.
    pub remote_party: bool,
}

impl Default for CallDocuments {
    fn default() -> Self {
        Self {
            include_callid: true,
            include_tags: true,
            include_localremote: true,
            caller_confirmed: false,
            publish_on_trying: false,
            ring_time: 0,
            lifetime: LIFETIME,
        }
    }
}

/// Should the server fail, its calls are shown for 10 minutes more at the most.
const LIFETIME: u32 = 600;

const LIFETIMES: std::ops::RangeInclusive<i64> = 60..=86_400;

const RING_TIMES: std::ops::RangeInclusive<i64> = 10..=3600;

pub(super) fn calls(parameters: &Parameters) -> Result<Calls, Error> {
    let mode = match parameters.dialog_mode.as_deref() {
        None | Some("off") if parameters.phone_state == Some(1) => DialogMode::Phones,
        None | Some("off") => DialogMode::Off,
        Some("pua") => DialogMode::Pua,
        Some("local") => DialogMode::Local,
        Some(other) => {
            let takes = "\"off\", \"pua\" (PUBLISH to the presence server) or \"local\" (the presence server of this SIP server, without \
                         SIP between)";
            return Err(Error { parameter: "dialog_mode", value: Some(other.to_owned()), takes });
        }
    };
    let documents = CallDocuments {
        include_callid: switch("include_callid", parameters.include_callid, true)?,
        include_tags: switch("include_tags", parameters.include_tags, true)?,
        include_localremote: switch("include_localremote", parameters.include_localremote, true)?,
        caller_confirmed: switch("caller_confirmed", parameters.caller_confirmed, false)?,
        publish_on_trying: switch("publish_on_trying", parameters.publish_on_trying, false)?,
        ring_time: seconds(
            "dialog_ring_time",
            parameters.dialog_ring_time,
            RING_TIMES,
            "10 to 3600 seconds, or 0: as long as tm has it",
        )?
        .unwrap_or(0),
        lifetime: seconds(
            "override_lifetime",
            parameters.override_lifetime,
            LIFETIMES,
            "60 to 86400 seconds, or 0: 600 seconds",
        )?
        .unwrap_or(LIFETIME),
    };
    let text = |given: &Option<String>, usual: &str| given.clone().unwrap_or_else(|| usual.to_owned());
    let presence = CallPresence {
        ringing: text(&parameters.call_status_ringing, "Ringing"),
        talking: text(&parameters.call_status_talking, "On the phone"),
        on_hold: text(&parameters.call_status_hold, "On the phone, on hold"),
        remote_party: switch("call_remote_party", parameters.call_remote_party, false)?,
    };
    let is_told = switch("call_presence", parameters.call_presence, true)? && mode.publishes();
    Ok(Calls {
        mode,
        documents,
        presence: is_told.then_some(presence),
        caller_spec: parameters.caller_spec_param.clone().filter(|spec| !spec.is_empty()),
        callee_spec: parameters.callee_spec_param.clone().filter(|spec| !spec.is_empty()),
        callee_is_request_uri: switch("include_req_uri", parameters.include_req_uri, false)?,
        nopublish_flag: parameters.nopublish_flag.clone().filter(|flag| !flag.is_empty()),
        send_publish_flag: flag("send_publish_flag", parameters.send_publish_flag)?,
        disable_caller_publish_flag: flag("disable_caller_publish_flag", parameters.disable_caller_publish_flag)?,
        disable_callee_publish_flag: flag("disable_callee_publish_flag", parameters.disable_callee_publish_flag)?,
    })
}

fn switch(parameter: &'static str, value: Option<i64>, usual: bool) -> Result<bool, Error> {
    match value {
        None => Ok(usual),
        Some(0) => Ok(false),
        Some(1) => Ok(true),
        Some(other) => Err(Error { parameter, value: Some(other.to_string()), takes: "0 (no) or 1 (yes)" }),
    }
}

fn seconds(
    parameter: &'static str,
    value: Option<i64>,
    range: std::ops::RangeInclusive<i64>,
    takes: &'static str,
) -> Result<Option<u32>, Error> {
    match value {
        None | Some(0) => Ok(None),
        Some(value) => match u32::try_from(value) {
            Ok(seconds) if range.contains(&value) => Ok(Some(seconds)),
            _ => Err(Error { parameter, value: Some(value.to_string()), takes }),
        },
    }
}

/// A message flag of Kamailio; -1 is none.
fn flag(parameter: &'static str, value: Option<i64>) -> Result<Option<u32>, Error> {
    match value {
        None | Some(-1) => Ok(None),
        Some(value) => match u32::try_from(value) {
            Ok(flag) if flag < 32 => Ok(Some(flag)),
            _ => Err(Error {
                parameter,
                value: Some(value.to_string()),
                takes: "the number of a message flag, 0 to 31, or -1: none",
            }),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::minimal;
    use super::super::tests::refusal;
    use super::*;
    use crate::config::Config;

    #[test]
    fn calls_are_shown_where_the_operator_says_so() {
        let given = |mode: Option<&str>| Parameters { dialog_mode: mode.map(str::to_owned), ..minimal() };
        for (mode, wanted) in [
            (None, DialogMode::Off),
            (Some("off"), DialogMode::Off),
            (Some("pua"), DialogMode::Pua),
            (Some("local"), DialogMode::Local),
        ] {
            assert_eq!(Config::from_parameters(&given(mode)).unwrap().calls.mode, wanted);
        }
        assert!(refusal(&given(Some("on"))).starts_with("parameter dialog_mode is \"on\"; it takes \"off\""));
    }

    #[test]
    fn what_is_no_switch_time_or_flag_is_named() {
        for (parameters, named) in [
            (Parameters { include_tags: Some(2), ..minimal() }, "include_tags is \"2\"; it takes 0 (no) or 1 (yes)"),
            (Parameters { override_lifetime: Some(59), ..minimal() }, "override_lifetime is \"59\"; it takes 60 to"),
            (Parameters { dialog_ring_time: Some(-1), ..minimal() }, "dialog_ring_time is \"-1\"; it takes 10 to"),
            (Parameters { send_publish_flag: Some(32), ..minimal() }, "send_publish_flag is \"32\"; it takes the number"),
        ] {
            assert!(refusal(&parameters).contains(named), "{}", refusal(&parameters));
        }
    }
}
