use super::*;

pub(super) fn minimal() -> Parameters {
    Parameters {
        xmpp_domain: Some("sip.example.com".into()),
        xmpp_password: Some("s3cret".into()),
        server_address: Some("sip:gw@sip.example.com".into()),
        ..Parameters::default()
    }
}

pub(super) fn refusal(parameters: &Parameters) -> String {
    Config::from_parameters(parameters).unwrap_err().to_string()
}

#[test]
fn three_parameters_are_enough() {
    let config = Config::from_parameters(&minimal()).unwrap();
    let Backend::Components(components) = &config.backend;
    assert_eq!(components.first().unwrap().servers, [Server { host: "127.0.0.1".into(), port: 5347 }]);
    assert_eq!(config.addresses.sip_to_jid(b"sip:a@b.example").unwrap().as_str(), "a@b.example");
}

#[test]
fn a_missing_password_is_named() {
    let parameters = Parameters { xmpp_password: None, ..minimal() };
    assert_eq!(
        refusal(&parameters),
        "parameter xmpp_password is not set; it takes the secret that the XMPP server holds for this component, or \
         xmpp_password_file names a file that holds it"
    );
}

#[test]
fn the_server_backend_is_refused_with_what_exists() {
    let parameters = Parameters { backend: Some("server".into()), ..minimal() };
    assert!(refusal(&parameters).starts_with("parameter backend is \"server\"; it takes \"component\""));
}

#[test]
fn a_port_out_of_range_is_named_with_its_value() {
    let parameters = Parameters { xmpp_port: Some(70_000), ..minimal() };
    assert_eq!(refusal(&parameters), "parameter xmpp_port is \"70000\"; it takes a port number from 1 to 65535");
}

#[test]
fn a_uri_cannot_carry_a_header() {
    let parameters = Parameters { outbound_proxy: Some("sip:a\r\nX: y".into()), ..minimal() };
    assert!(refusal(&parameters).starts_with("parameter outbound_proxy is \"sip:a\\r\\nX: y\""));
}
