//! What is kept of a session, so that it goes on after a restart of the SIP server: columns of its account's row.

use std::time::Duration;

use data_encoding::BASE64;

use crate::xmpp::bosh::Request;
use crate::xmpp::bosh::Saved;
use crate::xmpp::bosh::Terms;

/// A session over HTTP that stood. Who reads it can speak in it: the table is as secret as its passwords.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The resource that was asked for: which of the account's phones it is.
    pub resource: String,
    /// The full JID.
    pub jid: String,
    /// The URL of the connection manager.
    pub url: String,
    /// Numbers, name and what had no response.
    pub saved: Saved,
}

impl Kept {
    /// As text of one line for each of its parts. None has a line end in it: JIDs, URLs and names of sessions have none. Empty if it is longer
    /// than the column that holds it: the next session begins with a login, and others can still be written.
    pub fn write(&self) -> String {
        let Saved { terms, rid, unanswered } = &self.saved;
        let Terms { sid, wait, requests, inactivity, polling, longest_pause } = terms;
        let numbers = [wait.as_secs(), u64::try_from(*requests).unwrap_or(1), inactivity.as_secs(), polling.as_secs()];
        let numbers: Vec<String> =
            numbers.iter().map(u64::to_string).chain([longest_pause.to_string(), rid.to_string()]).collect();
        let mut lines =
            vec![FORM.to_owned(), numbers.join(" "), self.resource.clone(), self.jid.clone(), self.url.clone(), sid.clone()];
        lines.extend(unanswered.iter().map(|request| format!("{} {}", request.rid, BASE64.encode(request.body.as_bytes()))));
        let text = lines.join("\n");
        if text.len() <= LONGEST { text } else { String::new() }
    }

    /// What was written; `None` if it was not.
    pub fn read(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        if lines.next()? != FORM {
            return None;
        }
        let numbers: Vec<u64> = lines.next()?.split(' ').map(str::parse).collect::<Result<_, _>>().ok()?;
        let [wait, requests, inactivity, polling, pause, rid] = numbers[..] else { return None };
        let (resource, jid, url, sid) = (lines.next()?, lines.next()?, lines.next()?, lines.next()?);
        let terms = Terms {
            sid: sid.to_owned(),
            wait: Duration::from_secs(wait),
            requests: usize::try_from(requests).ok()?,
            inactivity: Duration::from_secs(inactivity),
            polling: Duration::from_secs(polling),
            longest_pause: u32::try_from(pause).ok()?,
        };
        let unanswered = lines.map(request).collect::<Option<Vec<_>>>()?;
        let saved = Saved { terms, rid, unanswered };
        Some(Self { resource: resource.to_owned(), jid: jid.to_owned(), url: url.to_owned(), saved })
    }
}

fn request(line: &str) -> Option<Request> {
    let (rid, body) = line.split_once(' ')?;
    let body = String::from_utf8(BASE64.decode(body.as_bytes()).ok()?).ok()?;
    Some(Request { rid: rid.parse().ok()?, body: body.into() })
}

/// The first line: what follows is of this form.
const FORM: &str = "bosh 1";

/// As base64 it has to fit into a text column of MySQL, 64 KiB, and with the rest of its statement into the buffer that OpenSIPS has for one in
/// SQLite, as many.
const LONGEST: usize = 47 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn kept() -> Kept {
        let seconds = Duration::from_secs;
        let terms = Terms {
            sid: "s1".to_owned(),
            wait: seconds(60),
            requests: 2,
            inactivity: seconds(30),
            polling: seconds(5),
            longest_pause: 120,
        };
        let unanswered = vec![Request { rid: 41, body: "<body>\n</body>".into() }, Request { rid: 42, body: "".into() }];
        Kept {
            resource: "SIP phone".to_owned(),
            jid: "juliet@example.com/SIP phone".to_owned(),
            url: "https://example.com/http-bind".to_owned(),
            saved: Saved { terms, rid: (1 << 52) + 1, unanswered },
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        assert_eq!(Kept::read(&kept().write()), Some(kept()));
        let idle = Kept { saved: Saved { unanswered: Vec::new(), ..kept().saved }, ..kept() };
        assert_eq!(Kept::read(&idle.write()), Some(idle));
    }

    #[test]
    fn what_no_column_holds_is_not_written() {
        let with = |bytes: usize| {
            let unanswered = vec![Request { rid: 41, body: "x".repeat(bytes).into() }];
            Kept { saved: Saved { unanswered, ..kept().saved }, ..kept() }.write()
        };
        assert_eq!(with(64 * 1024), "");
        let (mut fits, mut bytes) = (String::new(), 35_500);
        while let Some(text) = Some(with(bytes)).filter(|text| !text.is_empty()) {
            (fits, bytes) = (text, bytes + 1);
        }
        assert!(Kept::read(&fits).is_some());
        let column = BASE64.encode(fits.as_bytes()).len();
        assert!((64_000..64_500).contains(&column), "{column}");
    }

    #[test]
    fn anything_else_is_no_session() {
        let text = kept().write();
        for wrong in [
            "",
            "bosh 2",
            &text.replace("bosh 1", "bosh 2"),
            &text.replace("60 2", "60 x"),
            &text.replace("41 ", "41"),
            "bosh 1\n1 2 3",
        ] {
            assert_eq!(Kept::read(wrong), None, "{wrong}");
        }
    }
}
