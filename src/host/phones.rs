//! Phones in their users' XMPP accounts, as far as both hosts have it in common: the line to the phone process, and what goes over it.

use std::fmt;
use std::hash::BuildHasher;
use std::hash::RandomState;
use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use crate::address::Addresses;
use crate::address::read_jid;
use crate::config::Config;
use crate::gateway::admission::not_allowed;
use crate::host::database::account_table::AccountError;
use crate::host::database::account_table::AccountSession;
use crate::host::database::account_table::AccountTable;
use crate::host::database::state_table::Stores;
use crate::link::phone_datagram;
use crate::link::phone_datagram::Told;
use crate::link::store;
use crate::link::store::End;
use crate::phone::account;
use crate::phone::account::Row;
use crate::phone::import;
use crate::phone::state::State;
use crate::phone::users::Fact;
use crate::phone::users::What;
use crate::process::host::Flow;
use crate::process::host::HostError;
use crate::process::phones::Heard;
use crate::process::phones::Note;
use crate::process::phones::Registrar;
use crate::process::storekeeper::Unavailable;
use crate::sip;
use crate::translate;
use crate::translate::call::UserCall;
use crate::worker::Worker;
use crate::xmpp::element::Element;
use crate::xmpp::stanza;
use crate::xmpp::stanza_error::Condition;
use crate::xmpp::stanza_error::StanzaError;

/// What mod_init makes, where phones are shown.
pub(crate) struct Phones<D> {
    tables: AccountTable<D>,
    /// The end of all processes that tell something.
    tell: End,
    /// The phone process's.
    pub(crate) hear: End,
}

/// Why there are none.
#[derive(Debug)]
pub(crate) enum PhonesError {
    /// The table of accounts.
    Accounts(AccountError),
    /// The kernel gave no line.
    Line(io::Error),
}

/// A contact of the registrar.
pub(crate) struct Contact<'a> {
    /// The address of record; without a domain where the registrar goes without.
    pub(crate) aor: &'a [u8],
    /// Its URI.
    pub(crate) uri: &'a [u8],
    /// The instance id of the phone; empty if it has none.
    pub(crate) instance: &'a [u8],
    /// For how many seconds it is stored; `None`: it is gone.
    pub(crate) lifetime: Option<u64>,
}

impl<D: Stores> Phones<D> {
    /// Before the host forks. `None`: no phones are shown.
    pub(crate) fn open(config: &Config) -> Result<Option<Self>, PhonesError> {
        let Some(phones) = &config.phones else { return Ok(None) };
        let tables = AccountTable::open(phones).map_err(PhonesError::Accounts)?;
        let (tell, hear) = store::pair().map_err(PhonesError::Line)?;
        Ok(Some(Self { tables, tell, hear }))
    }

    /// The registrar has stored a contact, or forgotten it.
    pub(crate) fn contact(&self, contact: &Contact<'_>) {
        if let Some(fact) = contact.fact() {
            self.tell(&Told::Fact(fact));
        }
    }

    /// The calls of a user have changed. False: that is to be said again.
    pub(crate) fn call(&self, user: &str, call: Option<&UserCall>) -> bool {
        let what = What::Call(call.map(|call| (call.phase, call.other.clone())));
        self.tell(&Told::Fact(Fact { user: user.to_owned(), what }))
    }

    /// A call of a user goes on.
    pub(crate) fn call_kept(&self, user: &str) {
        self.tell(&Told::Fact(Fact { user: user.to_owned(), what: What::CallKept }));
    }

    /// The presence server has taken a PUBLISH of a user; without a lifetime nothing is published any more.
    pub(crate) fn published(&self, user: &str, lifetime: Duration) {
        self.tell(&Told::Fact(Fact { user: user.to_owned(), what: What::Published(lifetime) }));
    }

    /// A script, or a command, says what the state of a phone is. The error is a sentence.
    pub(crate) fn state(&self, uri: &[u8], state: &[u8]) -> Result<(), &'static str> {
        let read = |bytes| str::from_utf8(bytes).ok();
        let user = read(uri).and_then(account::sip_uri).ok_or("the first parameter is no SIP URI of a user")?;
        let state = read(state).and_then(State::named).ok_or("the second parameter is no state of a phone")?;
        if self.tell(&Told::Fact(Fact { user, what: What::Told(state) })) { Ok(()) } else { Err(BUSY) }
    }

    /// The table of accounts is to be read again.
    pub(crate) fn reload(&self) -> Result<(), &'static str> {
        if self.tell(&Told::Reload) { Ok(()) } else { Err(BUSY) }
    }

    /// Reads the connector's file into the table, in whatever process took the command: how many accounts there were, and then what is wrong
    /// with which line. The error is a sentence.
    pub(crate) fn import(&self, path: &[u8], domain: Option<&str>) -> Result<Vec<String>, String> {
        let path = str::from_utf8(path).map_err(|_| "the name of the file is not UTF-8".to_owned())?;
        let size = std::fs::metadata(path).map_err(|error| format!("{path}: {error}"))?.len();
        if size > LONGEST_FILE {
            return Err(format!("{path} has more than {LONGEST_FILE} bytes"));
        }
        let file = std::fs::read(path).map_err(|error| format!("{path}: {error}"))?;
        let (accounts, bad) = import::read(&file, domain);
        let mut session = self.tables.session();
        let mut taken = 0_usize;
        let all = accounts.chunks(ROWS).try_for_each(|some| {
            session.import(some)?;
            taken = taken.saturating_add(some.len());
            Ok(())
        });
        // Those that it took are there, whatever became of the others.
        if taken > 0 {
            self.reload()?;
        }
        all.map_err(|Unavailable| format!("the database takes no accounts after the first {taken}; its log says why"))?;
        let count = format!("{} accounts imported, {} lines left out", accounts.len(), bad.len());
        Ok([count].into_iter().chain(bad.iter().take(MOST_LINES).map(ToString::to_string)).collect())
    }

    /// The registrar for the phone process.
    pub(crate) fn registrar<H: PhoneHost>(&self, host: H) -> impl Registrar {
        HostRegistrar { session: self.tables.session(), host }
    }

    /// Never waits: what finds no room is said again by the next registration, or by who told it, and lifetimes end by themselves.
    fn tell(&self, told: &Told) -> bool {
        let mut datagram = Vec::new();
        phone_datagram::encode(told, &mut datagram);
        let sent = self.tell.send(&datagram);
        if let Err(error) = &sent {
            log::warn!("the phone process cannot be told of {told:?}: {error:?}");
        }
        sent.is_ok()
    }
}

impl Contact<'_> {
    /// What it is to the phone process; `None` where it names nobody.
    pub(crate) fn fact(&self) -> Option<Fact> {
        let text = |bytes| str::from_utf8(bytes).ok();
        let aor = text(self.aor).filter(|aor| !aor.is_empty())?;
        let user = if aor.contains('@') { account::sip_uri(&["sip:", aor].concat())? } else { aor.to_owned() };
        let named = |bytes| String::from_utf8_lossy(bytes).chars().take(LONGEST_PHONE).collect();
        let uri = named(self.uri);
        let what = match self.lifetime {
            Some(seconds) => What::Contact {
                phone: named(if self.instance.is_empty() { self.uri } else { self.instance }),
                uri,
                lifetime: Duration::from_secs(seconds.min(LONGEST_LIFETIME)),
            },
            None => What::ContactGone { uri },
        };
        Some(Fact { user, what })
    }
}

/// A host, as the phone process sees it.
pub(crate) trait PhoneHost {
    /// What is registered of a user now.
    fn registered(&mut self, user: &str) -> Vec<Fact>;
    /// Has the XMPP process tell the calls of all users.
    fn ask_for_calls(&mut self);
    /// Sends the SIP user what an XMPP user says. The error is what that one is told.
    fn message(&mut self, user: &str, message: &Element) -> Result<(), Option<StanzaError>>;
    /// A descriptor that becomes readable when the host wants this process.
    fn wake_descriptor(&self) -> BorrowedFd<'_>;
    /// Handles what made the descriptor readable.
    fn wake(&mut self) -> Flow;
}

struct HostRegistrar<'a, D: Stores, H> {
    session: AccountSession<'a, D>,
    host: H,
}

impl<D: Stores, H: PhoneHost> Registrar for HostRegistrar<'_, D, H> {
    fn accounts(&mut self, row: &mut dyn FnMut(&Row<'_>, &str)) -> Result<(), Unavailable> {
        self.session.accounts(row)
    }

    fn keep(&mut self, notes: &[Note]) -> Result<(), Unavailable> {
        self.session.keep(notes)
    }

    fn states(&mut self) -> Result<(Vec<Fact>, Heard), Unavailable> {
        self.session.states()
    }

    fn registered(&mut self, user: &str) -> Vec<Fact> {
        self.host.registered(user)
    }

    fn ask_for_calls(&mut self) {
        self.host.ask_for_calls();
    }

    fn message(&mut self, user: &str, message: &Element) -> Result<(), Option<StanzaError>> {
        self.host.message(user, message)
    }

    fn wake_descriptor(&self) -> BorrowedFd<'_> {
        self.host.wake_descriptor()
    }

    fn wake(&mut self) -> Flow {
        self.host.wake()
    }
}

impl fmt::Display for PhonesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accounts(error) => error.fmt(f),
            Self::Line(error) => write!(f, "no line to the phone process: {error}"),
        }
    }
}

/// What an XMPP user says to a phone, as a MESSAGE to its user (RFC 7572 §4). The error is what that one is told; `None`: nothing.
pub(crate) fn message(config: &Config, user: &str, message: &Element) -> Result<sip::Message, Option<StanzaError>> {
    let from = message.attribute("from").and_then(|from| read_jid(from).ok()).ok_or(None)?;
    if !config.addresses.is_allowed_peer(&from) {
        return Err(Some(not_allowed()));
    }
    // An account whose SIP user has no JID here cannot be reached by one either.
    let to = config.addresses.sip_user_to_jid(user.as_bytes()).map_err(|_| Some(Condition::ServiceUnavailable.into()))?;
    let unique = RandomState::new().hash_one(user);
    let made = translate::message::to_sip(message, &from, &to, &config.addresses, unique, translate::message::DEFAULT_LIMIT);
    let mut made = made.map_err(translate::failure::message_error)?;
    // Who was asked answers: the resource that shows the phone, and not the JID that its user has here.
    if let (Some(origin), Some(asked)) = (&mut made.origin, message.attribute("to")) {
        origin.to = asked.to_owned();
    }
    Ok(made)
}

/// The host did not take a MESSAGE to a phone: what its sender is told.
pub(crate) fn refused(user: &str, error: HostError) -> Option<StanzaError> {
    log::error!("a message to the phone of {user} cannot be sent: {error}");
    Some(error.condition().into())
}

/// A MESSAGE of ours was answered: the answer for XMPP goes the way that the stanza came, by the component or by a phone's session.
pub(crate) fn message_reply<D: Stores>(
    phones: Option<&Phones<D>>,
    worker: &Worker,
    addresses: &Addresses,
    origin: &sip::Origin,
    reply: &sip::Reply,
) {
    match phones {
        Some(phones) if !addresses.is_sip_address(&origin.to) => {
            if let Some(xml) = translate::message::failed(origin, reply, addresses, stanza::bare(&origin.to)) {
                phones.tell(&Told::Answer { from: origin.to.clone(), xml });
            }
        }
        Some(_) | None => worker.message_reply(origin, reply),
    }
}

/// Said where no phones are shown.
pub(crate) const NOT_SHOWN: &str = "no phones are shown: phone_state is not set";

const BUSY: &str = "the phone process does not keep up";

/// Bad lines that are told.
const MOST_LINES: usize = 100;

/// Bytes of a file of accounts.
const LONGEST_FILE: u64 = 64 * 1024 * 1024;

/// Accounts that are written at once.
const ROWS: usize = 200;

/// Characters that tell a phone apart.
const LONGEST_PHONE: usize = 256;

/// Seconds of a registration: a month, for contacts that never end too.
const LONGEST_LIFETIME: u64 = 31 * 24 * 3600;

#[cfg(test)]
mod tests {
    use super::*;

    fn contact(aor: &str, instance: &str, lifetime: Option<u64>) -> Option<Fact> {
        Contact { aor: aor.as_bytes(), uri: b"sip:juliet@192.0.2.1", instance: instance.as_bytes(), lifetime }.fact()
    }

    #[test]
    fn a_phone_is_its_instance_or_its_contact() {
        let lifetime = Duration::from_secs(600);
        let fact = contact("juliet@Example.com", "<urn:uuid:1>", Some(600)).unwrap();
        let uri = "sip:juliet@192.0.2.1".to_owned();
        let what = What::Contact { uri: uri.clone(), phone: "<urn:uuid:1>".to_owned(), lifetime };
        assert_eq!(fact, Fact { user: "sip:juliet@example.com".to_owned(), what });
        let gone = contact("juliet@example.com", "", None).unwrap();
        assert_eq!(gone.what, What::ContactGone { uri });
    }

    #[test]
    fn a_registrar_without_domains_names_users_only() {
        assert_eq!(contact("juliet", "", None).unwrap().user, "juliet");
        assert_eq!(contact("", "", None), None);
        assert_eq!(contact("@x", "", None), None);
    }
}
