//! Where SIP users find the presence of XMPP users (`presence_mode`).

use super::Error;
use super::Parameters;

/// How it gets to the presence server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PresenceMode {
    /// To any presence server: pua sends PUBLISH, and a script tells of watchers by `pua_xmpp_req_winfo()`.
    Pua,
    /// To the one of this SIP server: no SIP request between it and the gateway.
    Local,
}

pub(super) fn mode(parameters: &Parameters) -> Result<PresenceMode, Error> {
    match parameters.presence_mode.as_deref() {
        None | Some("pua") => Ok(PresenceMode::Pua),
        Some("local") => Ok(PresenceMode::Local),
        Some(other) => {
            let takes = "\"pua\" (PUBLISH to the presence server) or \"local\" (the presence server of this SIP server, without SIP between)";
            Err(Error { parameter: "presence_mode", value: Some(other.to_owned()), takes })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::minimal;
    use super::super::tests::refusal;
    use super::*;
    use crate::config::Config;

    #[test]
    fn presence_goes_through_pua_unless_it_is_local() {
        let given = |mode: Option<&str>| Parameters { presence_mode: mode.map(str::to_owned), ..minimal() };
        for (mode, wanted) in [(None, PresenceMode::Pua), (Some("pua"), PresenceMode::Pua), (Some("local"), PresenceMode::Local)]
        {
            assert_eq!(Config::from_parameters(&given(mode)).unwrap().presence_mode, wanted);
        }
        assert!(refusal(&given(Some("Local"))).starts_with("parameter presence_mode is \"Local\"; it takes \"pua\""));
    }
}
