//! Accounts from the file of the BOSH connector: lines of SIP URI, XMPP user, password, RID and, where there is a session, SID and presence id,
//! separated by commas (RFC 4180). Sessions of the connector are not gone on with: they are long over when the file is read.

use std::collections::HashSet;
use std::fmt;

use crate::phone::account;
use crate::phone::account::LONGEST_COLUMN;

/// An account as the file has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// The SIP URI.
    pub sip_uri: String,
    /// The XMPP user, a bare JID.
    pub jid: String,
    /// The password.
    pub password: String,
}

/// A line that is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadLine {
    /// Its number; the first is 1.
    pub number: u64,
    /// What is wrong with it.
    pub what: Wrong,
}

/// What is wrong with a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrong {
    /// It has fewer than three fields or more than six.
    Fields,
    /// It is not UTF-8.
    Encoding,
    /// There is a carriage return in it: lines of an old Macintosh, or a field with a line end.
    CarriageReturn,
    /// A field has more characters than its column.
    Length,
    /// The first field is no SIP URI of a user.
    SipUri,
    /// The second field is no XMPP user: a bare JID, or a name where there is a domain for names.
    Jid,
    /// The third field is empty.
    Password,
    /// An earlier line has the same SIP URI.
    Twice,
}

/// Reads a file: the accounts, and the lines that are none. Names without a domain are in `domain`, if there is one.
pub fn read(file: &[u8], domain: Option<&str>) -> (Vec<Imported>, Vec<BadLine>) {
    let (mut accounts, mut bad) = (Vec::new(), Vec::new());
    let mut known = HashSet::new();
    // Line by line: the reader of files does not count the empty ones. No field of the connector has a line end in it.
    for (number, line) in (1_u64..).zip(file.split(|byte| *byte == b'\n')) {
        let line = line.trim_ascii();
        if line.contains(&b'\r') {
            bad.push(BadLine { number, what: Wrong::CarriageReturn });
            continue;
        }
        let is_heading = || number == 1 && line.get(..HEADING.len()).is_some_and(|start| start.eq_ignore_ascii_case(HEADING));
        if line.is_empty() || line.starts_with(b"#") || is_heading() {
            continue;
        }
        match fields(line).and_then(|fields| account(&fields, domain)) {
            Ok(account) if known.insert(account.sip_uri.clone()) => accounts.push(account),
            Ok(_) => bad.push(BadLine { number, what: Wrong::Twice }),
            Err(what) => bad.push(BadLine { number, what }),
        }
    }
    (accounts, bad)
}

fn fields(line: &[u8]) -> Result<csv::ByteRecord, Wrong> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).trim(csv::Trim::All).from_reader(line);
    let mut fields = csv::ByteRecord::new();
    match reader.read_byte_record(&mut fields) {
        Ok(true) => Ok(fields),
        Ok(false) | Err(_) => Err(Wrong::Fields),
    }
}

fn account(record: &csv::ByteRecord, domain: Option<&str>) -> Result<Imported, Wrong> {
    if !(3..=6).contains(&record.len()) {
        return Err(Wrong::Fields);
    }
    let field = |at| std::str::from_utf8(record.get(at).unwrap_or_default()).map_err(|_| Wrong::Encoding);
    let (sip_uri, user, password) = (field(0)?, field(1)?, field(2)?);
    let sip_uri = account::sip_uri(sip_uri).ok_or(Wrong::SipUri)?;
    let jid = match domain {
        Some(domain) if !user.contains('@') => account::bare_jid(&[user, "@", domain].concat()),
        Some(_) | None => account::bare_jid(user),
    };
    let jid = jid.ok_or(Wrong::Jid)?.to_string();
    if account::proof(password).is_none() {
        return Err(Wrong::Password);
    }
    // One that does not fit would take the accounts with it that are written together with it.
    if [&*sip_uri, &*jid, password].iter().any(|text| text.chars().count() > LONGEST_COLUMN) {
        return Err(Wrong::Length);
    }
    Ok(Imported { sip_uri, jid, password: password.to_owned() })
}

/// How the names of the columns begin, where the file has them.
const HEADING: &[u8] = b"SIP URI";

impl fmt::Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.what {
            Wrong::Fields => "not three to six fields",
            Wrong::Encoding => "not UTF-8",
            Wrong::CarriageReturn => "a carriage return inside",
            Wrong::Length => "a field of more than 255 characters",
            Wrong::SipUri => "the first field is no SIP URI of a user",
            Wrong::Jid => "the second field is no XMPP user with a domain",
            Wrong::Password => "the third field is no password",
            Wrong::Twice => "an earlier line has the same SIP URI",
        };
        write!(f, "line {}: {what}", self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn imported(sip_uri: &str, jid: &str, password: &str) -> Imported {
        Imported { sip_uri: sip_uri.to_owned(), jid: jid.to_owned(), password: password.to_owned() }
    }

    #[test]
    fn lines_with_and_without_a_session_are_accounts() {
        let file = "SIP URI,XMPP username,password,RID,SID,presenceId\n\
            sip:juliet@example.com,juliet@xmpp.example.com,pencil,123456\n\
            # not this one\n\
            sip:romeo@Example.com , romeo ,\"a,\"\"b\",123460,s7,p1\r\n\
            sip:nurse@example.com,nurse,x\n";
        let (accounts, bad) = read(file.as_bytes(), Some("xmpp.example.com"));
        assert_eq!(bad, []);
        assert_eq!(
            accounts,
            [
                imported("sip:juliet@example.com", "juliet@xmpp.example.com", "pencil"),
                imported("sip:romeo@example.com", "romeo@xmpp.example.com", "a,\"b"),
                imported("sip:nurse@example.com", "nurse@xmpp.example.com", "x"),
            ]
        );
    }

    #[test]
    fn bad_lines_are_told_by_number_and_the_others_are_taken() {
        let file = b"sip:a@x,a@y,p,1\n\
            sip:b@x,b@y\n\
            juliet,c@y,p\n\
            \n\
            sip:d@x,d,p\n\
            sip:e@x,e@y,,1\n\
            sip:a@x,z@y,p\n\
            sip:f@x,\xff@y,p\n\
            sip:g@x,g@y,p,1,2,3,4\n\
            sip:h@x,h@y,p\n";
        let (accounts, bad) = read(file, None);
        assert_eq!(accounts.iter().map(|account| &*account.jid).collect::<Vec<_>>(), ["a@y", "h@y"]);
        let told: Vec<_> = bad.iter().map(|line| (line.number, line.what)).collect();
        let expected = [
            (2, Wrong::Fields),
            (3, Wrong::SipUri),
            (5, Wrong::Jid),
            (6, Wrong::Password),
            (7, Wrong::Twice),
            (8, Wrong::Encoding),
            (9, Wrong::Fields),
        ];
        assert_eq!(told, expected);
        assert_eq!(bad.first().unwrap().to_string(), "line 2: not three to six fields");
    }

    #[test]
    fn what_no_column_holds_is_a_bad_line() {
        let long = |count| "\u{e4}".repeat(count);
        let host = "x".repeat(60);
        let uri = |count: usize| format!("sip:a@{host}.{host}.{host}.{}", "x".repeat(count - 6 - 183));
        let file = format!(
            "sip:a@x,a@y,{}\nsip:b@x,b@y,{}\n{},c@y,p\n{},d@y,p\nsip:e@x,{}@y,p\n",
            long(255),
            long(256),
            uri(255),
            uri(256),
            "e".repeat(254)
        );
        let (accounts, bad) = read(file.as_bytes(), None);
        assert_eq!(accounts.iter().map(|account| &*account.jid).collect::<Vec<_>>(), ["a@y", "c@y"]);
        assert_eq!(
            bad.iter().map(|line| (line.number, line.what)).collect::<Vec<_>>(),
            [2, 4, 5].map(|line| (line, Wrong::Length))
        );
    }

    #[test]
    fn a_carriage_return_hides_no_account() {
        let file =
            b"SIP URI,XMPP username,password\rsip:a@x,a@y,p\nsip:b@x,b@y,p\rsip:c@x,c@y,p\n# \rsip:d@x,d@y,p\nsip:e@x,e@y,p\r\n";
        let (accounts, bad) = read(file, None);
        assert_eq!(accounts.iter().map(|account| &*account.jid).collect::<Vec<_>>(), ["e@y"]);
        let told: Vec<_> = bad.iter().map(|line| (line.number, line.what)).collect();
        assert_eq!(told, [1, 2, 3].map(|line| (line, Wrong::CarriageReturn)));
    }

    #[test]
    fn a_quote_without_an_end_ends_with_its_line() {
        let (accounts, bad) = read(b"sip:a@x,a@y,\"p\nsip:b@x,b@y,p", None);
        assert_eq!((accounts.len(), bad.len()), (2, 0), "what the quote holds is the password");
    }

    #[test]
    fn nothing_is_nothing() {
        for file in ["", "\n\n", "# only this"] {
            assert_eq!(read(file.as_bytes(), None), (vec![], vec![]));
        }
    }
}
