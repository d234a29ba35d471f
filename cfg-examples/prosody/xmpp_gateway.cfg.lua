-- Prosody with the SIP domain as a component (XEP-0114): add the last three lines to the configuration you have, or start with this file.
--
-- Replace example.net (the XMPP domain), sip.example.com (the SIP domain) and the secret, which is xmpp_password of the gateway.

modules_enabled = { "roster", "saslauth", "tls", "dialback", "disco", "presence", "message", "iq", "offline", "pep", "ping", "blocklist" }
modules_disabled = { "s2s" } -- remove this line to federate

authentication = "internal_hashed"
storage = "internal"

-- Where the gateway connects. Prosody does not encrypt the component protocol: keep it on loopback or on a network of your own, or put a
-- TLS proxy (stunnel, haproxy) in front of it and set xmpp_tls of the gateway.
component_interfaces = { "127.0.0.1" }
component_ports = { 5347 }

VirtualHost "example.net"

Component "sip.example.com"
    component_secret = "change-me"
