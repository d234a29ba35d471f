//! What the operator set: raw module parameters become [`Config`] once, at start; nothing re-checks them later.
//!
//! The host layer fills [`Parameters`] as its parser meets each `modparam`; [`Config::from_parameters`] in mod_init either
//! accepts all of them or names the parameter, what it held and what it takes.

/// Module parameters as the host's configuration parser delivers them: unchecked, `None` where not set.
#[derive(Debug, Default, Clone)]
#[allow(missing_docs, reason = "each field is the parameter of that name; see Config and module-docs")]
pub struct Parameters {
    pub backend: Option<String>,
    pub xmpp_domain: Option<String>,
    pub xmpp_host: Option<String>,
    pub xmpp_port: Option<i64>,
    pub xmpp_password: Option<String>,
    pub gateway_domain: Option<String>,
    pub sip_domain: Option<String>,
    pub domain_separator: Option<String>,
    /// Repeatable: one entry a `modparam` line.
    pub gwmap: Vec<String>,
    pub outbound_proxy: Option<String>,
    pub server_address: Option<String>,
    pub presence_server: Option<String>,
}
