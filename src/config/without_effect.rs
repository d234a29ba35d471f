//! Parameters that are set, and do nothing: the operator expects something of them, and reads at start why it does not come.

use super::Error;
use super::Parameters;

/// What these parameters belong to is off.
const NO_CALLS: &str = "dialog_mode is \"off\"";
const NO_PRESENCE_OF_CALLS: &str = "call_presence is 0";
const NO_EVENT: &str = "dialog_event is 0";

/// Each parameter without an effect, and what has to be changed for it to have one.
pub fn without_effect(given: &Parameters) -> Vec<(&'static str, &'static str)> {
    let sees_calls = given.phone_state == Some(1);
    let shows_calls = given.dialog_mode.as_deref().is_some_and(|mode| mode != "off");
    let tells_calls = given.call_presence != Some(0);
    let serves_event = given.dialog_event == Some(1);
    let status = [
        ("call_status_ringing", given.call_status_ringing.is_some()),
        ("call_status_talking", given.call_status_talking.is_some()),
        ("call_status_hold", given.call_status_hold.is_some()),
        ("call_remote_party", given.call_remote_party.is_some()),
    ];
    let calls = [
        ("include_callid", given.include_callid.is_some()),
        ("include_tags", given.include_tags.is_some()),
        ("include_localremote", given.include_localremote.is_some()),
        ("caller_confirmed", given.caller_confirmed.is_some()),
        ("publish_on_trying", given.publish_on_trying.is_some()),
        ("dialog_ring_time", given.dialog_ring_time.is_some()),
        ("override_lifetime", given.override_lifetime.is_some()),
        ("call_presence", given.call_presence.is_some_and(|told| told != 0)),
    ];
    let seen = [
        ("caller_spec_param", given.caller_spec_param.is_some()),
        ("callee_spec_param", given.callee_spec_param.is_some()),
        ("nopublish_flag", given.nopublish_flag.is_some()),
        ("include_req_uri", given.include_req_uri.is_some()),
        ("send_publish_flag", given.send_publish_flag.is_some()),
        ("disable_caller_publish_flag", given.disable_caller_publish_flag.is_some()),
        ("disable_callee_publish_flag", given.disable_callee_publish_flag.is_some()),
    ];
    let event = [
        ("default_expires", given.default_expires.is_some()),
        ("force_single_dialog", given.force_single_dialog.is_some()),
        ("force_dummy_dialog", given.force_dummy_dialog.is_some()),
        ("single_dialog_order", given.single_dialog_order.is_some()),
        ("dialog_profile", !given.dialog_profile.is_empty()),
    ];
    let set = |parameters: &[(&'static str, bool)], why: &'static str| {
        parameters.iter().filter(|(_, is_set)| *is_set).map(|(name, _)| (*name, why)).collect::<Vec<_>>()
    };
    let mut found = Vec::new();
    if !shows_calls {
        found.extend(set(&calls, NO_CALLS));
        found.extend(set(if sees_calls { &[] } else { &seen }, NO_CALLS));
        found.extend(set(&status, NO_CALLS));
    } else if !tells_calls {
        found.extend(set(&status, NO_PRESENCE_OF_CALLS));
    }
    if !serves_event {
        found.extend(set(&event, NO_EVENT));
    }
    found
}

/// Whether there is none that Kamailio alone has. On OpenSIPS the script shows a call by a function, and none without it.
pub fn none_of_kamailio(given: &Parameters) -> Result<(), Error> {
    let takes = "nothing here, as it is Kamailio's: in OpenSIPS the script shows a call by dialoginfo_set(), to watchers of the caller (\"A\"), of the \
                 callee (\"B\") or of both, and the callee is whom the Request-URI names";
    for (parameter, value) in [
        ("include_req_uri", given.include_req_uri),
        ("send_publish_flag", given.send_publish_flag),
        ("disable_caller_publish_flag", given.disable_caller_publish_flag),
        ("disable_callee_publish_flag", given.disable_callee_publish_flag),
    ] {
        if let Some(value) = value {
            return Err(Error { parameter, value: Some(value.to_string()), takes });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::tests::minimal;
    use super::*;

    fn names(given: &Parameters) -> Vec<&'static str> {
        without_effect(given).into_iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn what_is_set_for_something_that_is_off_is_named() {
        let given = Parameters {
            caller_confirmed: Some(1),
            call_status_hold: Some("hold".into()),
            single_dialog_order: Some("early".into()),
            dialog_profile: vec!["watcher=*;dialogs=all".into()],
            ..minimal()
        };
        assert_eq!(names(&given), ["caller_confirmed", "call_status_hold", "single_dialog_order", "dialog_profile"]);
        let calls = Parameters { dialog_mode: Some("local".into()), dialog_event: Some(1), ..given };
        assert!(names(&calls).is_empty());
        assert_eq!(without_effect(&Parameters { call_presence: Some(0), ..calls }), [("call_status_hold", NO_PRESENCE_OF_CALLS)]);
        let phones = Parameters {
            phone_state: Some(1),
            caller_spec_param: Some("$avp(caller)".into()),
            include_tags: Some(1),
            ..minimal()
        };
        assert_eq!(names(&phones), ["include_tags"], "who calls is asked for phones too");
        assert!(names(&Parameters { dialog_mode: Some("off".into()), call_presence: Some(0), ..minimal() }).is_empty());
        assert_eq!(
            names(&Parameters { dialog_mode: Some("off".into()), call_presence: Some(1), ..minimal() }),
            ["call_presence"]
        );
    }

    #[test]
    fn a_flag_of_kamailio_is_refused_where_it_means_nothing() {
        assert!(none_of_kamailio(&minimal()).is_ok());
        let refusal = none_of_kamailio(&Parameters { send_publish_flag: Some(5), ..minimal() }).unwrap_err().to_string();
        assert!(
            refusal.starts_with("parameter send_publish_flag is \"5\"; it takes nothing here, as it is Kamailio's"),
            "{refusal}"
        );
        assert!(none_of_kamailio(&Parameters { include_req_uri: Some(0), ..minimal() }).is_err());
    }
}
