//! SASL as its client (RFC 6120 §6): SCRAM-SHA-256 (RFC 7677), SCRAM-SHA-1 (RFC 5802), PLAIN (RFC 4616).
//!
//! The mechanisms are the crate `sasl`'s. What it leaves to its user is done here: names and passwords are prepared (RFC 4013), a name's
//! `,` and `=` are escaped, the server's nonce has to go on from ours, and a server cannot have us count for hours.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use data_encoding::BASE64;
use sasl::client::Mechanism as _;
use sasl::client::MechanismError;
use sasl::client::mechanisms::Plain;
use sasl::client::mechanisms::Scram;
use sasl::common::ChannelBinding;
use sasl::common::Password;
use sasl::common::scram::DeriveError;
use sasl::common::scram::ScramProvider;
use sasl::common::scram::Sha1;
use sasl::common::scram::Sha256;

use crate::xml::XmlWriter;
use crate::xmpp::element::Element;
use crate::xmpp::ns;

/// What proves who an account is.
#[derive(Clone, PartialEq, Eq)]
pub enum Proof {
    /// A password.
    Password(String),
    /// A password as SCRAM has it, salted: it opens this account on this server and no other.
    Salted(Salted),
}

/// A salted password (RFC 5802 §3), for one mechanism.
#[derive(Clone, PartialEq, Eq)]
pub struct Salted {
    mechanism: Mechanism,
    iterations: u32,
    salt: Vec<u8>,
    password: Vec<u8>,
}

/// The mechanisms, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mechanism {
    /// SCRAM-SHA-256.
    ScramSha256,
    /// SCRAM-SHA-1.
    ScramSha1,
    /// PLAIN: the password itself.
    Plain,
}

/// Whether the password itself may be shown to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShowPassword {
    /// It may: the connection is encrypted, or the operator has said so.
    Allowed,
    /// It may not.
    Forbidden,
}

/// Why it went no further.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// The server offers nothing that we may use: with what it offers.
    NoMechanism(String),
    /// The name or the password has characters that none may have (RFC 4013): the operator's.
    Forbidden,
    /// The server's part is not what the mechanism needs.
    Challenge(String),
    /// The server wants the password hashed more often than [`MOST_ITERATIONS`].
    Iterations,
    /// Where everybody can read along, it wants it hashed less often than [`FEWEST_ITERATIONS`]: trying passwords would cost too little.
    FewIterations,
    /// The salted password is for another salt, number of iterations or mechanism than the server's.
    OtherSalt,
    /// The server has not proved that it knows the password: it is another one than it says.
    Server,
}

/// One run of a mechanism.
pub struct Exchange {
    run: Run,
    nonce: String,
    show: ShowPassword,
}

enum Run {
    ScramSha256(Box<Scram<Bounded<Sha256>>>),
    ScramSha1(Box<Scram<Bounded<Sha1>>>),
    Plain(Box<Plain>),
}

impl Mechanism {
    const ALL: [Self; 3] = [Self::ScramSha256, Self::ScramSha1, Self::Plain];

    /// Its name (RFC 4422 §3.1).
    pub fn name(self) -> &'static str {
        match self {
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha1 => "SCRAM-SHA-1",
            Self::Plain => "PLAIN",
        }
    }

    fn hash_bytes(self) -> Option<usize> {
        match self {
            Self::ScramSha256 => Some(32),
            Self::ScramSha1 => Some(20),
            Self::Plain => None,
        }
    }
}

impl Salted {
    /// Reads `SCRAM-SHA-256$4096:<salt>$<salted password>`, the last two in base64; `None` if it is not of that form.
    pub fn read(text: &str) -> Option<Self> {
        let mut parts = text.split('$');
        let (name, salt, password) = (parts.next()?, parts.next()?, parts.next()?);
        let mechanism = Mechanism::ALL.into_iter().find(|mechanism| mechanism.name() == name)?;
        let (iterations, salt) = salt.split_once(':')?;
        let salted = Self {
            mechanism,
            iterations: iterations.parse().ok()?,
            salt: BASE64.decode(salt.as_bytes()).ok()?,
            password: BASE64.decode(password.as_bytes()).ok()?,
        };
        let is_whole = parts.next().is_none() && mechanism.hash_bytes() == Some(salted.password.len());
        is_whole.then_some(salted)
    }
}

impl Exchange {
    /// Chooses the best mechanism of those in `<mechanisms/>`; the exchange, and the `<auth/>` that begins it.
    pub fn begin(user: &str, proof: &Proof, mechanisms: &Element, show: ShowPassword) -> Result<(Self, String), Error> {
        let offered: Vec<_> = mechanisms.children().filter(|child| child.is("mechanism", ns::SASL)).map(Element::text).collect();
        let is_usable = |mechanism: &Mechanism| match (mechanism, proof) {
            (Mechanism::Plain, Proof::Password(_)) => show == ShowPassword::Allowed,
            (_, Proof::Salted(salted)) => salted.mechanism == *mechanism,
            (Mechanism::ScramSha256 | Mechanism::ScramSha1, Proof::Password(_)) => true,
        };
        let is_offered = |mechanism: &Mechanism| offered.iter().any(|offered| offered.trim() == mechanism.name());
        let mechanism = Mechanism::ALL.into_iter().find(|mechanism| is_offered(mechanism) && is_usable(mechanism));
        let Some(mechanism) = mechanism else { return Err(Error::NoMechanism(named(&offered))) };
        Self::of(mechanism, user, proof, show)
    }

    fn of(mechanism: Mechanism, user: &str, proof: &Proof, show: ShowPassword) -> Result<(Self, String), Error> {
        let user = stringprep::saslprep(user).map_err(|_| Error::Forbidden)?;
        let password = match proof {
            Proof::Password(password) => {
                Password::Plain(stringprep::saslprep(password).map_err(|_| Error::Forbidden)?.into_owned())
            }
            Proof::Salted(salted) => Password::Pbkdf2 {
                method: salted.mechanism.name().to_owned(),
                salt: salted.salt.clone(),
                iterations: salted.iterations,
                data: salted.password.clone(),
            },
        };
        let no_nonce = |_| Error::Challenge("no random numbers".to_owned());
        let mut run = match mechanism {
            Mechanism::ScramSha256 => {
                Run::ScramSha256(Box::new(Scram::new(escaped(&user), password, ChannelBinding::None).map_err(no_nonce)?))
            }
            Mechanism::ScramSha1 => {
                Run::ScramSha1(Box::new(Scram::new(escaped(&user), password, ChannelBinding::None).map_err(no_nonce)?))
            }
            Mechanism::Plain => match password {
                Password::Plain(password) => Run::Plain(Box::new(Plain::new(user, password))),
                Password::Pbkdf2 { .. } => return Err(Error::OtherSalt),
            },
        };
        let initial = run.initial();
        let nonce = match mechanism {
            Mechanism::Plain => String::new(),
            Mechanism::ScramSha256 | Mechanism::ScramSha1 => nonce_of(&initial).unwrap_or_default(),
        };
        let mut xml = XmlWriter::new();
        xml.open("auth").attribute("xmlns", ns::SASL).attribute("mechanism", mechanism.name()).text(&BASE64.encode(&initial));
        Ok((Self { run, nonce, show }, xml.finish()))
    }

    /// The `<response/>` to a `<challenge/>`.
    pub fn challenge(&mut self, challenge: &Element) -> Result<String, Error> {
        let data = decoded(challenge)?;
        self.check(&data)?;
        let response = match &mut self.run {
            Run::ScramSha256(scram) => scram.response(&data),
            Run::ScramSha1(scram) => scram.response(&data),
            Run::Plain(plain) => plain.response(&data),
        };
        let mut xml = XmlWriter::new();
        xml.open("response").attribute("xmlns", ns::SASL).text(&BASE64.encode(&response.map_err(Error::of)?));
        Ok(xml.finish())
    }

    /// What the crate does not look at (RFC 5802 §5.1): what came from elsewhere would be answered, and what has to be understood passed over.
    fn check(&self, challenge: &[u8]) -> Result<(), Error> {
        let wrong = |what: &str| Err(Error::Challenge(what.to_owned()));
        let text = str::from_utf8(challenge).unwrap_or_default();
        if text.split(',').any(|part| part.starts_with("m=")) {
            return wrong("it has an extension that nobody knows");
        }
        if !nonce_of(challenge).is_some_and(|nonce| nonce.len() > self.nonce.len() && nonce.starts_with(&self.nonce)) {
            return wrong("its nonce does not go on from ours");
        }
        let counts = |count: &str| count.parse().is_ok_and(|count: u32| count < FEWEST_ITERATIONS);
        let is_few = text.split(',').filter_map(|part| part.strip_prefix("i=")).any(counts);
        if is_few && self.show == ShowPassword::Forbidden { Err(Error::FewIterations) } else { Ok(()) }
    }

    /// Whether `<success/>` comes from a server that knows the password.
    pub fn success(&mut self, success: &Element) -> Result<(), Error> {
        let data = decoded(success)?;
        let proved = match &mut self.run {
            Run::ScramSha256(scram) => scram.success(&data),
            Run::ScramSha1(scram) => scram.success(&data),
            // A password that was shown proves nothing about who has seen it.
            Run::Plain(_) => Ok(()),
        };
        proved.map_err(|_| Error::Server)
    }
}

impl Run {
    fn initial(&mut self) -> Vec<u8> {
        match self {
            Self::ScramSha256(scram) => scram.initial(),
            Self::ScramSha1(scram) => scram.initial(),
            Self::Plain(plain) => plain.initial(),
        }
    }
}

impl Error {
    fn of(error: MechanismError) -> Self {
        let MechanismError::DeriveError(error) = error else { return Self::Challenge(error.to_string()) };
        match error {
            DeriveError::IncompatibleIterationCount(..) => Self::Iterations,
            DeriveError::IncompatibleHashingMethod(..) | DeriveError::IncorrectSalt | DeriveError::InvalidLength => {
                Self::OtherSalt
            }
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoMechanism(offered) => write!(f, "no mechanism that may be used here is among those of the server: {offered}"),
            Self::Forbidden => f.write_str("name or password have characters that SASL forbids"),
            Self::Challenge(what) => write!(f, "the challenge is wrong: {what}"),
            Self::Iterations => write!(f, "the server wants more than {MOST_ITERATIONS} iterations"),
            Self::FewIterations => {
                write!(f, "the server wants less than {FEWEST_ITERATIONS} iterations, and nothing is encrypted")
            }
            Self::OtherSalt => f.write_str("the SCRAM key of the account is not for the salt of the server"),
            Self::Server => f.write_str("the server has not proved that it knows the password"),
        }
    }
}

/// No log shows it.
impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Password(_) => "Password(..)",
            Self::Salted(_) => "Salted(..)",
        })
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange").finish_non_exhaustive()
    }
}

/// A hash of SCRAM, with an end: and with a salted password taken if it is for this salt (the crate's own providers take it if it is not).
struct Bounded<S>(PhantomData<S>);

impl<S: ScramProvider> ScramProvider for Bounded<S> {
    type Secret = S::Secret;

    fn name() -> &'static str {
        S::name()
    }

    fn hash(data: &[u8]) -> Vec<u8> {
        S::hash(data)
    }

    // The error is of the version of `hmac` that the crate has.
    fn hmac(data: &[u8], key: &[u8]) -> Result<Vec<u8>, hmac::digest::InvalidLength> {
        S::hmac(data, key)
    }

    fn derive(password: &Password, salt: &[u8], iterations: u32) -> Result<Vec<u8>, DeriveError> {
        if iterations > MOST_ITERATIONS || iterations == 0 {
            return Err(DeriveError::IncompatibleIterationCount(MOST_ITERATIONS, iterations));
        }
        match password {
            Password::Plain(_) => S::derive(password, salt, iterations),
            Password::Pbkdf2 { salt: own, iterations: counted, data, .. } if own == salt && *counted == iterations => {
                Ok(data.clone())
            }
            Password::Pbkdf2 { .. } => Err(DeriveError::IncorrectSalt),
        }
    }
}

/// Where a server may end us in counting: about 50 ms of one core. Servers in use ask for 4 096 to 50 000.
pub const MOST_ITERATIONS: u32 = 100_000;

/// What each hash should have at the least (RFC 7677 §4, RFC 5802 §5.1).
pub const FEWEST_ITERATIONS: u32 = 4096;

/// The nonce in a message of SCRAM (RFC 5802 §5.1).
fn nonce_of(message: &[u8]) -> Option<String> {
    let message = std::str::from_utf8(message).ok()?;
    message.split(',').find_map(|part| part.strip_prefix("r=")).map(str::to_owned)
}

/// A name as it stands in a message of SCRAM (RFC 5802 §5.1).
fn escaped(user: &str) -> Cow<'_, str> {
    if user.contains(['=', ',']) { user.replace('=', "=3D").replace(',', "=2C").into() } else { user.into() }
}

fn decoded(element: &Element) -> Result<Vec<u8>, Error> {
    match element.text().trim() {
        // An empty string, where none at all would mean something else (RFC 6120 §6.4.2).
        "=" => Ok(Vec::new()),
        text => BASE64.decode(text.as_bytes()).map_err(|_| Error::Challenge("it is not in base64".to_owned())),
    }
}

/// Names of mechanisms, fit for a log line.
fn named(offered: &[Cow<'_, str>]) -> String {
    let is_usual = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '+');
    let names: Vec<String> = offered.iter().take(16).map(|name| name.chars().filter(is_usual).take(32).collect()).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The server's side, by the letter of RFC 5802 §3, with the hashes of the same crate.
    struct Server<S> {
        salt: Vec<u8>,
        iterations: u32,
        first: String,
        hash: PhantomData<S>,
    }

    impl<S: ScramProvider> Server<S> {
        fn new(iterations: u32) -> Self {
            Self { salt: b"a salt of its own".to_vec(), iterations, first: String::new(), hash: PhantomData }
        }

        fn challenge(&mut self, auth: &str) -> Element {
            let auth = BASE64.decode(Element::parse(auth).unwrap().text().as_bytes()).unwrap();
            let bare = String::from_utf8(auth).unwrap().strip_prefix("n,,").unwrap().to_owned();
            let nonce = bare.split_once(",r=").unwrap().1;
            let challenge = format!("r={nonce}server,s={},i={}", BASE64.encode(&self.salt), self.iterations);
            self.first = format!("{bare},{challenge}");
            element("challenge", &challenge)
        }

        /// The proof is checked as the server would, which holds only the stored key.
        fn success(&self, response: &str, password: &str) -> Option<Element> {
            let response = BASE64.decode(Element::parse(response).unwrap().text().as_bytes()).unwrap();
            let response = String::from_utf8(response).unwrap();
            let (bare, proof) = response.split_once(",p=").unwrap();
            let salted = S::derive(&Password::Plain(password.to_owned()), &self.salt, self.iterations).unwrap();
            let stored = S::hash(&S::hmac(b"Client Key", &salted).unwrap());
            let signed = format!("{},{bare}", self.first);
            let signature = S::hmac(signed.as_bytes(), &stored).unwrap();
            let proof = BASE64.decode(proof.as_bytes()).unwrap();
            let client_key: Vec<u8> = proof.iter().zip(&signature).map(|(a, b)| a ^ b).collect();
            let server_key = S::hmac(b"Server Key", &salted).unwrap();
            let verifier = BASE64.encode(&S::hmac(signed.as_bytes(), &server_key).unwrap());
            (S::hash(&client_key) == stored).then(|| element("success", &format!("v={verifier}")))
        }
    }

    fn element(name: &str, content: &str) -> Element {
        Element::parse(&format!("<{name} xmlns='{}'>{}</{name}>", ns::SASL, BASE64.encode(content.as_bytes()))).unwrap()
    }

    fn offer(mechanisms: &[&str]) -> Element {
        let list: String = mechanisms.iter().map(|name| format!("<mechanism>{name}</mechanism>")).collect();
        Element::parse(&format!("<mechanisms xmlns='{}'>{list}</mechanisms>", ns::SASL)).unwrap()
    }

    fn password(password: &str) -> Proof {
        Proof::Password(password.to_owned())
    }

    fn begin(proof: &Proof, mechanisms: &[&str], show: ShowPassword) -> Result<(Exchange, String), Error> {
        Exchange::begin("juliet", proof, &offer(mechanisms), show)
    }

    fn runs<S: ScramProvider>(mechanism: &str, user: &str, proof: &Proof) -> bool {
        let mut server = Server::<S>::new(4096);
        let (mut exchange, auth) = Exchange::begin(user, proof, &offer(&[mechanism]), ShowPassword::Forbidden).unwrap();
        let response = exchange.challenge(&server.challenge(&auth)).unwrap();
        server.success(&response, "pencil").is_some_and(|success| exchange.success(&success).is_ok())
    }

    #[test]
    fn both_hashes_agree_with_a_server() {
        assert!(runs::<Sha256>("SCRAM-SHA-256", "juliet", &password("pencil")));
        assert!(runs::<Sha1>("SCRAM-SHA-1", "juliet", &password("pencil")));
        assert!(!runs::<Sha256>("SCRAM-SHA-256", "juliet", &password("pen")));
    }

    #[test]
    fn a_salted_password_is_as_good_as_the_password() {
        let salted = Sha256::derive(&Password::Plain("pencil".into()), b"a salt of its own", 4096).unwrap();
        let text = format!("SCRAM-SHA-256$4096:{}${}", BASE64.encode(b"a salt of its own"), BASE64.encode(&salted));
        let proof = Proof::Salted(Salted::read(&text).unwrap());
        assert!(runs::<Sha256>("SCRAM-SHA-256", "juliet", &proof));
        let other = Proof::Salted(Salted::read(&text.replace("4096", "4097")).unwrap());
        let mut server = Server::<Sha256>::new(4096);
        let (mut exchange, auth) = begin(&other, &["SCRAM-SHA-256"], ShowPassword::Forbidden).unwrap();
        assert_eq!(exchange.challenge(&server.challenge(&auth)), Err(Error::OtherSalt));
        assert!(matches!(begin(&proof, &["SCRAM-SHA-1", "PLAIN"], ShowPassword::Allowed), Err(Error::NoMechanism(_))));
        for wrong in ["", "SCRAM-SHA-256$4096:YQ==", "PLAIN$1:YQ==$YQ==", "SCRAM-SHA-1$x:YQ==$YQ==", "SCRAM-SHA-256$1:YQ==$YQ=="]
        {
            assert!(Salted::read(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn names_are_escaped_and_prepared() {
        assert!(runs::<Sha1>("SCRAM-SHA-1", "a,b=c", &password("pencil")));
        let (_, auth) = Exchange::begin("a,b=c", &password("x"), &offer(&["SCRAM-SHA-1"]), ShowPassword::Forbidden).unwrap();
        let auth = BASE64.decode(Element::parse(&auth).unwrap().text().as_bytes()).unwrap();
        assert!(auth.starts_with(b"n,,n=a=2Cb=3Dc,r="));
        assert!(matches!(begin(&password("a\u{7}"), &["PLAIN"], ShowPassword::Allowed), Err(Error::Forbidden)));
    }

    #[test]
    fn the_best_mechanism_is_taken_and_the_password_is_shown_only_where_it_may_be() {
        let chosen = |offered: &[&str], show| match begin(&password("x"), offered, show) {
            Ok((_, auth)) => Element::parse(&auth).unwrap().attribute("mechanism").unwrap().to_owned(),
            Err(error) => error.to_string(),
        };
        let all = ["PLAIN", "SCRAM-SHA-1", "X-OAUTH2", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"];
        assert_eq!(chosen(&all, ShowPassword::Allowed), "SCRAM-SHA-256");
        assert_eq!(chosen(&["PLAIN", "SCRAM-SHA-1"], ShowPassword::Allowed), "SCRAM-SHA-1");
        assert_eq!(chosen(&["PLAIN"], ShowPassword::Allowed), "PLAIN");
        assert!(chosen(&["PLAIN", "X&gt;]"], ShowPassword::Forbidden).ends_with(": PLAIN X"));
    }

    #[test]
    fn plain_has_the_password_in_it() {
        let (mut exchange, auth) = begin(&password("pencil"), &["PLAIN"], ShowPassword::Allowed).unwrap();
        assert_eq!(Element::parse(&auth).unwrap().text(), BASE64.encode(b"\0juliet\0pencil"));
        assert!(exchange.success(&Element::parse(&format!("<success xmlns='{}'/>", ns::SASL)).unwrap()).is_ok());
        assert!(exchange.challenge(&element("challenge", "")).is_err());
    }

    #[test]
    fn a_server_that_is_another_is_found_out() {
        let mut server = Server::<Sha1>::new(4096);
        let (mut exchange, auth) = begin(&password("pencil"), &["SCRAM-SHA-1"], ShowPassword::Forbidden).unwrap();
        exchange.challenge(&server.challenge(&auth)).unwrap();
        assert_eq!(exchange.success(&element("success", "v=AAAA")), Err(Error::Server));
        let (mut exchange, _) = begin(&password("pencil"), &["SCRAM-SHA-1"], ShowPassword::Forbidden).unwrap();
        assert!(matches!(exchange.challenge(&element("challenge", "r=other,s=YQ==,i=4096")), Err(Error::Challenge(_))));
    }

    #[test]
    fn nobody_has_us_count_for_hours() {
        for iterations in [MOST_ITERATIONS + 1, u32::MAX] {
            assert_eq!(asked_to_count(iterations, ShowPassword::Forbidden), Some(Error::Iterations));
        }
        assert_eq!(asked_to_count(0, ShowPassword::Allowed), Some(Error::Iterations));
    }

    #[test]
    fn where_others_read_along_much_is_counted() {
        for iterations in [0, 1, FEWEST_ITERATIONS - 1] {
            assert_eq!(asked_to_count(iterations, ShowPassword::Forbidden), Some(Error::FewIterations));
        }
        assert_eq!(asked_to_count(FEWEST_ITERATIONS, ShowPassword::Forbidden), None);
        assert_eq!(asked_to_count(1, ShowPassword::Allowed), None, "it is encrypted");
    }

    fn asked_to_count(iterations: u32, show: ShowPassword) -> Option<Error> {
        let mut server = Server::<Sha1>::new(iterations);
        let (mut exchange, auth) = begin(&password("pencil"), &["SCRAM-SHA-1"], show).unwrap();
        exchange.challenge(&server.challenge(&auth)).err()
    }

    #[test]
    fn what_has_to_be_understood_is_not_passed_over() {
        let (mut exchange, auth) = begin(&password("pencil"), &["SCRAM-SHA-1"], ShowPassword::Allowed).unwrap();
        let challenge = Server::<Sha1>::new(4096).challenge(&auth);
        let text = String::from_utf8(decoded(&challenge).unwrap()).unwrap();
        let answer = exchange.challenge(&element("challenge", &format!("m=what,{text}")));
        assert!(matches!(answer, Err(Error::Challenge(what)) if what.contains("extension")));
    }
}
