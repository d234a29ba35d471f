//! One XMPP server, and lists of them: a name or an address, each with or without a port.

use std::fmt;
use std::net::IpAddr;
use std::net::Ipv6Addr;

use super::Error;
use super::domain;

/// Servers of one component at the most.
const MAX_SERVERS: usize = 16;

const TAKES_HOSTS: &str = "one to 16 servers, separated by commas, each a name or an address, with or without a port, as in \
                           \"xmpp1.example.net, 192.0.2.1:5347, [2001:db8::1]:5347\"";

/// One XMPP server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Name, or address without brackets.
    pub host: String,
    /// Component port.
    pub port: u16,
}

impl Server {
    /// Reads `host`, `host:port`, `[address]` or `[address]:port`; `None` if it is none of them.
    pub fn parse(text: &str, default_port: u16) -> Option<Self> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Some(Self { host: address.to_string(), port: default_port });
        }
        let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((address, rest)) => (address.parse::<Ipv6Addr>().ok()?.to_string(), rest),
            None => match text.split_once(':') {
                Some((host, _)) => (name_or_address(host)?, text.get(host.len()..)?),
                None => (name_or_address(text)?, ""),
            },
        };
        let port = match port {
            "" => default_port,
            port => port.strip_prefix(':')?.parse().ok().filter(|port| *port != 0)?,
        };
        Some(Self { host, port })
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

/// A list of them, as `xmpp_host` holds it.
pub(super) fn servers(parameter: &'static str, list: &str, default_port: u16) -> Result<Vec<Server>, Error> {
    let wrong = || Error { parameter, value: Some(list.to_owned()), takes: TAKES_HOSTS };
    let servers = list.split(',').map(|text| Server::parse(text.trim(), default_port).ok_or_else(wrong));
    let servers = servers.collect::<Result<Vec<_>, _>>()?;
    if servers.len() > MAX_SERVERS { Err(wrong()) } else { Ok(servers) }
}

fn name_or_address(host: &str) -> Option<String> {
    match host.parse::<IpAddr>() {
        Ok(address) => Some(address.to_string()),
        Err(_) => domain("xmpp_host", host).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(list: &str) -> Result<Vec<Server>, Error> {
        servers("xmpp_host", list, 5000)
    }

    #[test]
    fn a_list_of_servers_keeps_its_order_and_ports() {
        let list = "xmpp1.example.net, XMPP2.example.net:5269,192.0.2.1,192.0.2.1:1,2001:db8::1,[2001:DB8::2],[::1]:5348";
        let shown: Vec<String> = read(list).unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(
            shown.join(" "),
            "xmpp1.example.net:5000 xmpp2.example.net:5269 192.0.2.1:5000 192.0.2.1:1 [2001:db8::1]:5000 [2001:db8::2]:5000 [::1]:5348"
        );
    }

    #[test]
    fn what_is_no_server_is_refused_with_the_whole_list() {
        let many = ["a.example"; 17].join(",");
        for list in [
            "",
            ",",
            "a.example,",
            "a.example:0",
            "a.example:65536",
            "a:b",
            "[::1",
            "[a.example]:1",
            "[::1]5347",
            "a b",
            "a@b",
            &many,
        ] {
            let refusal = read(list).unwrap_err().to_string();
            let expected = format!("parameter xmpp_host is \"{list}\"; it takes one to 16 servers");
            assert!(refusal.starts_with(&expected), "{refusal}");
        }
    }
}
