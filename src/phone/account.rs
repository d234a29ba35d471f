//! Accounts of SIP users, as rows of the table `xmpp_account`.

use std::fmt;

use data_encoding::BASE32_NOPAD;
use jid::BareJid;
use jid::ResourcePart;
use sha1::Digest;
use sha1::Sha1;

use crate::address::ascii_domain;
use crate::phone::presence::Looks;
use crate::phone::presence::Show;
use crate::xmpp::sasl::Proof;
use crate::xmpp::sasl::Salted;

/// One account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The address of record of the SIP user, as the registrar has it.
    pub user: String,
    /// Whose account it is.
    pub jid: BareJid,
    /// What proves it.
    pub proof: Proof,
    /// The resource of its sessions.
    pub resource: Resource,
    /// What its states say.
    pub looks: Looks,
    /// How its server is reached.
    pub transport: Transport,
    /// What it wants.
    pub wishes: Wishes,
}

/// How the server of an account is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transport {
    /// By BOSH, at this URL, or the one that the server's host-meta names (XEP-0156).
    Bosh(Option<String>),
    /// By a stream over TCP, to this host and port, or those that DNS names (RFC 6120 §3.2).
    Tcp(Option<String>),
}

/// What an account wants: bits of the column `flags`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wishes {
    /// 1: it is not used.
    pub is_disabled: bool,
    /// 2: the other side of a call is named in the status.
    pub names_other: bool,
    /// 4: messages to the resource go to the phone.
    pub takes_messages: bool,
    /// 8: no user activity is published.
    pub hides_activity: bool,
}

/// The resource of an account's sessions: one for all phones, or one for each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource(String);

/// A row of the table, as it stands there.
#[derive(Debug, Clone, Copy, Default)]
pub struct Row<'a> {
    /// `sip_uri`.
    pub sip_uri: &'a str,
    /// `jid`.
    pub jid: &'a str,
    /// `password`: a password, or a SCRAM key.
    pub password: &'a str,
    /// `resource`; empty: the default.
    pub resource: &'a str,
    /// `priority`; none: the default.
    pub priority: Option<i64>,
    /// `online_status`; empty: the default.
    pub online_status: &'a str,
    /// `call_show`; empty: the default.
    pub call_show: &'a str,
    /// `call_status`; empty: the default.
    pub call_status: &'a str,
    /// `transport`: `bosh` or `tcp`; empty: the default.
    pub transport: &'a str,
    /// `url`: of the connection manager, or host and port of the server; empty: found by the domain.
    pub url: &'a str,
    /// `flags`.
    pub flags: i64,
}

/// What is wrong with a row. The operator is to blame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowError {
    /// `sip_uri` is no SIP URI of a user.
    SipUri,
    /// `jid` is no bare JID of a user.
    Jid,
    /// `password` is empty, or begins like a SCRAM key and is none.
    Password,
    /// `resource` is longer than a resource may be, or has characters that none may have.
    Resource,
    /// `priority` is not within -128 and 127.
    Priority,
    /// `call_show` is none of `away`, `chat`, `dnd`, `xa` and `online`.
    Show,
    /// `transport` is neither `bosh` nor `tcp`.
    Transport,
    /// `url` is no `http:` or `https:` URL for BOSH, or no host and port for TCP.
    Url,
}

impl Account {
    /// Reads a row; where it says nothing, the account looks like these defaults.
    pub fn of(row: &Row<'_>, defaults: &Looks) -> Result<Self, RowError> {
        let wishes = Wishes::of(row.flags);
        Ok(Self {
            user: sip_uri(row.sip_uri).ok_or(RowError::SipUri)?,
            jid: bare_jid(row.jid).ok_or(RowError::Jid)?,
            proof: proof(row.password).ok_or(RowError::Password)?,
            resource: Resource::of(row.resource).ok_or(RowError::Resource)?,
            looks: looks(row, defaults)?,
            transport: transport(row)?,
            wishes,
        })
    }
}

impl Wishes {
    fn of(flags: i64) -> Self {
        let has = |bit: i64| flags & bit != 0;
        Self { is_disabled: has(1), names_other: has(2), takes_messages: has(4), hides_activity: has(8) }
    }
}

impl Resource {
    /// `SIP-phone` if the pattern is empty; `None` if it can be no resource.
    pub fn of(pattern: &str) -> Option<Self> {
        let pattern = if pattern.is_empty() { DEFAULT_RESOURCE } else { pattern };
        ResourcePart::new(&pattern.replace(PHONE, "")).is_ok().then(|| Self(pattern.to_owned())).or_else(|| {
            // Nothing but the phone is a pattern too.
            (pattern == PHONE).then(|| Self(PHONE.to_owned()))
        })
    }

    /// Whether each phone has one of its own.
    pub fn is_per_phone(&self) -> bool {
        self.0.contains(PHONE)
    }

    /// That of a phone, which its instance id or its contact names. An id of the form `urn:uuid:` goes in as it is; of anything else a digest:
    /// a contact has the address of its user.
    pub fn for_phone(&self, phone: &str) -> String {
        if !self.is_per_phone() {
            return self.0.clone();
        }
        let id = phone.trim_matches(['<', '>', '"']);
        let uuid = id
            .strip_prefix("urn:uuid:")
            .filter(|uuid| uuid.len() == 36 && uuid.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-'));
        let digest = || {
            let mut digest = BASE32_NOPAD.encode(&Sha1::digest(id.as_bytes())).to_ascii_lowercase();
            digest.truncate(12);
            digest
        };
        self.0.replace(PHONE, &uuid.map_or_else(digest, str::to_ascii_lowercase))
    }
}

impl fmt::Display for RowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SipUri => "sip_uri is no SIP URI of a user",
            Self::Jid => "jid is no bare JID of a user",
            Self::Password => "password is empty or an incomplete SCRAM key",
            Self::Resource => "resource is too long or has characters that no resource may have",
            Self::Priority => "priority is not within -128 and 127",
            Self::Show => "call_show is none of away, chat, dnd, xa and online",
            Self::Transport => "transport is neither bosh nor tcp",
            Self::Url => "url is no http: or https: URL, or for tcp no host and port",
        })
    }
}

impl std::error::Error for RowError {}

/// As the registrar has an address of record: without parameters, the host in lower case.
pub(crate) fn sip_uri(text: &str) -> Option<String> {
    let rest = text.trim().strip_prefix("sip:")?;
    let (user, host) = rest.split(';').next()?.split_once('@')?;
    let is_plain = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && !b"<>\"@".contains(&byte));
    (is_plain(user) && is_plain(host) && text.len() <= LONGEST).then(|| ["sip:", user, "@", &host.to_ascii_lowercase()].concat())
}

pub(super) fn bare_jid(text: &str) -> Option<BareJid> {
    BareJid::new(text.trim()).ok().filter(|jid| jid.node().is_some())
}

pub(super) fn proof(text: &str) -> Option<Proof> {
    if text.starts_with("SCRAM-SHA-") && text.contains('$') {
        return Salted::read(text).map(Proof::Salted);
    }
    (!text.is_empty()).then(|| Proof::Password(text.to_owned()))
}

fn looks(row: &Row<'_>, defaults: &Looks) -> Result<Looks, RowError> {
    let mut looks = defaults.clone();
    if let Some(priority) = row.priority {
        let priority = i8::try_from(priority).map_err(|_| RowError::Priority)?;
        let all = [Some(&mut looks.online), looks.ringing.as_mut(), Some(&mut looks.on_the_phone), looks.on_hold.as_mut()];
        all.into_iter().flatten().for_each(|look| look.priority = priority);
    }
    if !row.call_show.is_empty() {
        looks.on_the_phone.show = Show::named(row.call_show).ok_or(RowError::Show)?;
    }
    for (look, status) in [(&mut looks.online, row.online_status), (&mut looks.on_the_phone, row.call_status)] {
        if !status.is_empty() {
            look.status = status.chars().take(LONGEST).collect();
        }
    }
    Ok(looks)
}

fn transport(row: &Row<'_>) -> Result<Transport, RowError> {
    let given = Some(row.url.trim()).filter(|url| !url.is_empty());
    match row.transport {
        "" | "bosh" => Ok(Transport::Bosh(given.map(|text| url(text).ok_or(RowError::Url)).transpose()?)),
        "tcp" => Ok(Transport::Tcp(given.map(|text| host(text).ok_or(RowError::Url)).transpose()?)),
        _ => Err(RowError::Transport),
    }
}

/// As HTTP takes it: the host as DNS has it.
fn url(text: &str) -> Option<String> {
    let (scheme, rest) = text.split_once("://").filter(|(scheme, _)| matches!(*scheme, "http" | "https"))?;
    let (authority, path) = rest.split_at_checked(rest.find(['/', '?', '#']).unwrap_or(rest.len()))?;
    let url = [scheme, "://", &host(authority)?, path].concat();
    url.bytes().all(|byte| byte.is_ascii_graphic()).then_some(url)
}

/// A host, with or without a port, as DNS has it.
fn host(text: &str) -> Option<String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
    if text.is_ascii() {
        return (!text.is_empty() && text.bytes().all(is_plain)).then(|| text.to_owned());
    }
    let (name, port) = text.split_once(':').map_or((text, None), |(name, port)| (name, Some(port)));
    let name = ascii_domain(name)?;
    Some(port.map_or_else(|| name.to_string(), |port| format!("{name}:{port}")))
}

const DEFAULT_RESOURCE: &str = "SIP-phone";

/// Where the phone stands in a pattern.
const PHONE: &str = "{phone}";

/// Characters of a text column of the table.
pub(crate) const LONGEST_COLUMN: usize = 255;

/// Bytes of an address, and characters of a status.
const LONGEST: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: Row<'static> = Row {
        sip_uri: "sip:juliet@Example.com",
        jid: "juliet@xmpp.example.com",
        password: "pencil",
        resource: "",
        priority: None,
        online_status: "",
        call_show: "",
        call_status: "",
        transport: "",
        url: "",
        flags: 0,
    };

    fn read(row: &Row<'_>) -> Result<Account, RowError> {
        Account::of(row, &Looks::default())
    }

    #[test]
    fn a_row_with_addresses_and_a_password_is_enough() {
        let account = read(&ROW).unwrap();
        assert_eq!((&*account.user, account.jid.as_str()), ("sip:juliet@example.com", "juliet@xmpp.example.com"));
        assert_eq!(account.resource.for_phone("sip:juliet@192.0.2.1"), "SIP-phone");
        assert_eq!((account.looks, account.transport), (Looks::default(), Transport::Bosh(None)));
        assert_eq!(account.wishes, Wishes::default());
    }

    #[test]
    fn a_row_has_its_own_texts() {
        let row = Row { priority: Some(5), call_show: "away", call_status: "Am Telefon", online_status: "da", flags: 6, ..ROW };
        let account = read(&row).unwrap();
        let call = &account.looks.on_the_phone;
        assert_eq!((call.show, &*call.status, call.priority), (Show::Away, "Am Telefon", 5));
        assert_eq!((&*account.looks.online.status, account.looks.online.priority), ("da", 5));
        assert!(account.wishes.names_other && account.wishes.takes_messages && !account.wishes.is_disabled);
    }

    #[test]
    fn what_is_wrong_with_a_row_is_said() {
        let wrong = |row: Row<'_>| read(&row).unwrap_err();
        for sip_uri in ["", "juliet@example.com", "sip:example.com", "sip:@example.com", "sip:a b@example.com"] {
            assert_eq!(wrong(Row { sip_uri, ..ROW }), RowError::SipUri, "{sip_uri}");
        }
        for jid in ["", "example.com", "juliet@example.com/phone", "@example.com"] {
            assert_eq!(wrong(Row { jid, ..ROW }), RowError::Jid, "{jid}");
        }
        for password in ["", "SCRAM-SHA-256$4096:salt"] {
            assert_eq!(wrong(Row { password, ..ROW }), RowError::Password);
        }
        assert_eq!(wrong(Row { resource: &"x".repeat(1024), ..ROW }), RowError::Resource);
        assert_eq!(wrong(Row { priority: Some(128), ..ROW }), RowError::Priority);
        assert_eq!(wrong(Row { call_show: "busy", ..ROW }), RowError::Show);
        assert_eq!(wrong(Row { transport: "udp", ..ROW }), RowError::Transport);
        for (transport, url) in [("bosh", "ftp://a/"), ("", "https:///x"), ("", "https://a/\r\nX: y"), ("tcp", "https://a/")] {
            assert_eq!(wrong(Row { transport, url, ..ROW }), RowError::Url, "{url}");
        }
    }

    #[test]
    fn a_host_may_be_written_as_people_have_it() {
        let transport = |transport, url| read(&Row { transport, url, ..ROW }).map(|account| account.transport);
        let bosh = |url: &str| Ok(Transport::Bosh(Some(url.to_owned())));
        assert_eq!(transport("", "https://münchen.example:5281/bosh"), bosh("https://xn--mnchen-3ya.example:5281/bosh"));
        assert_eq!(transport("", "https://münchen.example"), bosh("https://xn--mnchen-3ya.example"));
        assert_eq!(transport("", "http://[2001:db8::1]:5280/b?c"), bosh("http://[2001:db8::1]:5280/b?c"));
        assert_eq!(transport("tcp", "münchen.example:5223"), Ok(Transport::Tcp(Some("xn--mnchen-3ya.example:5223".to_owned()))));
        for url in ["https://münchen.example/ü", "https://ü/\nx", "https://u@münchen.example/", "https:///ü"] {
            assert_eq!(transport("", url), Err(RowError::Url), "{url}");
        }
        assert_eq!(transport("tcp", "mün chen.example"), Err(RowError::Url));
    }

    #[test]
    fn each_phone_has_a_resource_where_the_pattern_says_so() {
        let resource = Resource::of("SIP-{phone}").unwrap();
        let uuid = "<urn:uuid:00000000-0000-1000-8000-AABBCCDDEEFF>";
        assert_eq!(resource.for_phone(uuid), "SIP-00000000-0000-1000-8000-aabbccddeeff");
        let [one, other] = ["sip:juliet@192.0.2.1", "sip:juliet@192.0.2.2"].map(|contact| resource.for_phone(contact));
        assert!(one != other && one.len() == "SIP-".len() + 12 && !one.contains("192"));
        assert!(Resource::of("{phone}").unwrap().is_per_phone());
        assert!(!Resource::of("desk").unwrap().is_per_phone());
    }

    #[test]
    fn a_password_is_in_no_log() {
        assert!(!format!("{:?}", read(&ROW).unwrap()).contains("pencil"));
    }
}
