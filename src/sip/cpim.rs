//! Common Presence and Instant Messaging: Message Format (RFC 3862), the body `message/cpim`.
//!
//! ```text
//! From: Romeo <sip:romeo@example.net>              headers: UTF-8, with a backslash before what a line cannot hold
//! NS: imdn <urn:ietf:params:imdn>                  a namespace for the names of headers, from here on
//! imdn.Message-ID: 34jk324j
//!
//! Content-Type: text/plain                         headers of the content, as MIME has them
//!
//! Neither, fair saint, if either thee dislike.     the content, up to the end of the body
//! ```
//!
//! Two mistakes of senders are understood, as only one thing can be meant: lines ended by LF alone, and headers of the content without
//! the empty line before them, which is how the examples of RFC 5438 are printed. Content-Length, no header of RFC 3862 and often
//! wrong, does not count. Headers of unknown namespaces are passed over, unless Require names one.

mod escape;

use std::borrow::Cow;
use std::time::SystemTime;

use jiff::Timestamp;

use super::header::is_language;
use super::one_line;
use super::xml_body::MAX_BODY;
use escape::push_escaped;
use escape::unescaped;

/// Its media type.
pub const MEDIA_TYPE: &str = "message/cpim";

/// Lines of all headers together.
pub const MAX_LINES: usize = 64;

/// A body of the type `message/cpim`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Message<'a> {
    /// What is said of the message, in its order; NS and Require are done with.
    pub headers: Vec<Header>,
    /// The message.
    pub content: Content<'a>,
}

/// One header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Who has defined it.
    pub namespace: Namespace,
    /// Its name there, case and all.
    pub name: String,
    /// The parameter `lang`.
    pub language: Option<String>,
    /// What it says, without escapes; never empty.
    pub value: String,
}

/// The namespaces of headers that are known here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Namespace {
    /// RFC 3862 itself.
    Cpim,
    /// Disposition notifications (RFC 5438).
    Imdn,
}

/// A MIME part.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Content<'a> {
    /// Content-Type, the whole value.
    pub content_type: Option<String>,
    /// Content-Language.
    pub language: Option<String>,
    /// Content-Disposition.
    pub disposition: Option<String>,
    /// Content-Transfer-Encoding.
    pub transfer_encoding: Option<String>,
    /// What it is all about.
    pub body: Cow<'a, [u8]>,
}

/// Why a body is no message. Whoever sent it is to blame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CpimError {
    /// Longer than any that fits a UDP datagram.
    TooLong,
    /// More lines of headers than [`MAX_LINES`].
    TooMany,
    /// Its headers are not UTF-8.
    Encoding,
    /// A line is no header, or has a control character in it.
    Malformed,
    /// It ends before its content begins.
    Truncated,
    /// It requires what is not known here.
    Required,
}

impl std::fmt::Display for CpimError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::TooLong => "the CPIM body is too long",
            Self::TooMany => "the CPIM body has too many headers",
            Self::Encoding => "the headers of the CPIM body are not UTF-8",
            Self::Malformed => "a line of the CPIM body is no header",
            Self::Truncated => "the CPIM body ends before its content",
            Self::Required => "the CPIM body requires what is not known here",
        })
    }
}

impl std::error::Error for CpimError {}

impl<'a> Message<'a> {
    /// Reads a body.
    pub fn parse(body: &'a [u8]) -> Result<Self, CpimError> {
        if body.len() > MAX_BODY {
            return Err(CpimError::TooLong);
        }
        let mut lines = Lines { rest: body, left: MAX_LINES };
        let mut message = Self::default();
        let mut names = Names::default();
        let mut line = lines.next()?;
        while !line.is_empty() && !is_of_content(line) {
            message.headers.extend(names.header(line)?);
            line = lines.next()?;
        }
        if line.is_empty() {
            line = lines.next()?;
        }
        while !line.is_empty() {
            let mut field = line.to_owned();
            line = lines.next()?;
            while line.starts_with([' ', '\t']) {
                field.push(' ');
                field.push_str(line.trim());
                line = lines.next()?;
            }
            message.content.set(&field)?;
        }
        message.content.body = Cow::Borrowed(lines.rest);
        Ok(message)
    }

    /// Writes it.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut head = String::with_capacity(512);
        let mut declared = false;
        for Header { namespace, name, language, value } in &self.headers {
            match namespace {
                Namespace::Cpim => {}
                Namespace::Imdn => {
                    if !declared {
                        head.push_str(&format!("NS: {IMDN_PREFIX} <{IMDN}>\r\n"));
                        declared = true;
                    }
                    head.push_str(IMDN_PREFIX);
                    head.push('.');
                }
            }
            head.push_str(name);
            head.push(':');
            if let Some(language) = language {
                head.push_str(";lang=");
                head.push_str(language);
            }
            head.push(' ');
            push_escaped(&mut head, value);
            head.push_str("\r\n");
        }
        head.push_str("\r\n");
        self.content.write(&mut head);
        let mut body = head.into_bytes();
        body.extend_from_slice(&self.content.body);
        body
    }

    /// Adds a header. A value that is empty gives none.
    pub fn push(&mut self, namespace: Namespace, name: &str, value: &str) {
        if let Some(value) = Some(value.trim()).filter(|value| !value.is_empty()) {
            self.headers.push(Header { namespace, name: name.to_owned(), language: None, value: value.to_owned() });
        }
    }

    /// All headers of this name.
    pub fn all(&self, namespace: Namespace, name: &str) -> impl Iterator<Item = &Header> {
        self.headers.iter().filter(move |header| header.namespace == namespace && header.name == name)
    }

    /// What the first of them says.
    pub fn value(&self, namespace: Namespace, name: &str) -> Option<&str> {
        self.all(namespace, name).next().map(|header| header.value.as_str())
    }
}

/// The URI of an address: From, To, `imdn.Original-To`.
pub fn uri(address: &str) -> Option<&str> {
    // No URI has a bracket in it; a name in front may have.
    let (_, uri) = address.strip_suffix('>')?.rsplit_once('<')?;
    (!uri.is_empty()).then_some(uri)
}

/// A value of DateTime (RFC 3339), to the second.
pub fn date_time(time: SystemTime) -> String {
    format!("{:.0}", Timestamp::try_from(time).unwrap_or(Timestamp::UNIX_EPOCH))
}

/// The namespace of RFC 3862.
const CPIM: &str = "urn:ietf:params:cpim-headers:";

/// That of RFC 5438.
const IMDN: &str = "urn:ietf:params:imdn";

const IMDN_PREFIX: &str = "imdn";

/// The headers of RFC 3862.
const CPIM_HEADERS: [&str; 7] = ["From", "To", "cc", "DateTime", "Subject", "NS", "Require"];

impl Content<'_> {
    /// Takes a header; one of another name does not matter here.
    fn set(&mut self, field: &str) -> Result<(), CpimError> {
        let (name, value) = field.split_once(':').ok_or(CpimError::Malformed)?;
        let known = match name.trim_end().to_ascii_lowercase().as_str() {
            "content-type" => &mut self.content_type,
            "content-language" => &mut self.language,
            "content-disposition" => &mut self.disposition,
            "content-transfer-encoding" => &mut self.transfer_encoding,
            _ => return Ok(()),
        };
        *known = Some(one_line(value).trim().to_owned()).filter(|value| !value.is_empty());
        Ok(())
    }

    fn write(&self, head: &mut String) {
        let length = Some(self.body.len().to_string());
        for (name, value) in [
            ("Content-Type", &self.content_type),
            ("Content-Language", &self.language),
            ("Content-Disposition", &self.disposition),
            ("Content-Transfer-Encoding", &self.transfer_encoding),
            // Not asked for by RFC 3862; all examples of RFC 5438 have it.
            ("Content-Length", &length),
        ] {
            if let Some(value) = value {
                head.push_str(&format!("{name}: {}\r\n", one_line(value).trim()));
            }
        }
        head.push_str("\r\n");
    }
}

/// The lines of a body, as far as they have to be read.
struct Lines<'a> {
    rest: &'a [u8],
    left: usize,
}

impl<'a> Lines<'a> {
    fn next(&mut self) -> Result<&'a str, CpimError> {
        self.left = self.left.checked_sub(1).ok_or(CpimError::TooMany)?;
        let (line, rest) =
            memchr::memchr(b'\n', self.rest).and_then(|at| self.rest.split_at_checked(at)).ok_or(CpimError::Truncated)?;
        self.rest = rest.split_first().map_or(&[], |(_, rest)| rest);
        let line = std::str::from_utf8(line.strip_suffix(b"\r").unwrap_or(line)).map_err(|_| CpimError::Encoding)?;
        if line.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t') {
            return Err(CpimError::Malformed);
        }
        Ok(line)
    }
}

/// Whether a line belongs to the content: no header of RFC 3862 has such a name.
fn is_of_content(line: &str) -> bool {
    line.split_at_checked(CONTENT.len()).is_some_and(|(start, _)| start.eq_ignore_ascii_case(CONTENT))
}

const CONTENT: &str = "Content-";

/// What prefixes mean at one place of the message.
struct Names {
    /// Prefix and namespace, newest last; the empty prefix is that of names without one.
    declared: Vec<(String, Option<Namespace>)>,
}

impl Default for Names {
    fn default() -> Self {
        Self { declared: vec![(String::new(), Some(Namespace::Cpim))] }
    }
}

impl Names {
    /// Reads a line: a header to be kept, or one that is about headers.
    fn header(&mut self, line: &str) -> Result<Option<Header>, CpimError> {
        let (written, rest) = line.split_once(':').ok_or(CpimError::Malformed)?;
        if written.is_empty() || !written.bytes().all(|byte| is_name_character(byte) || byte == b'.') {
            return Err(CpimError::Malformed);
        }
        let (language, value) = parameters(rest);
        let value = value.trim();
        let (namespace, name) = match (written, self.resolve(written)) {
            // By its short name always: no other one could bring that back.
            ("NS", _) | (_, Some((Namespace::Cpim, "NS"))) => return self.declare(value).map(|()| None),
            (_, Some((Namespace::Cpim, "Require"))) => {
                return if value.split(',').all(|name| self.knows(name.trim())) { Ok(None) } else { Err(CpimError::Required) };
            }
            (_, Some((namespace, name))) if self.knows(written) => (namespace, name),
            (_, Some(_) | None) => return Ok(None),
        };
        let value = unescaped(value).trim().to_owned();
        let language = language.filter(|language| is_language(language)).map(str::to_owned);
        Ok((!value.is_empty()).then(|| Header { namespace, name: name.to_owned(), language, value }))
    }

    fn declare(&mut self, value: &str) -> Result<(), CpimError> {
        let (prefix, name) = value.split_once('<').ok_or(CpimError::Malformed)?;
        let namespace = match name.strip_suffix('>').ok_or(CpimError::Malformed)? {
            CPIM => Some(Namespace::Cpim),
            IMDN => Some(Namespace::Imdn),
            _ => None,
        };
        self.declared.push((prefix.trim().to_owned(), namespace));
        Ok(())
    }

    /// The namespace and the name in it; `None` for one that is not known here.
    fn resolve<'n>(&self, written: &'n str) -> Option<(Namespace, &'n str)> {
        let (prefix, name) = match written.split_once('.') {
            Some((prefix, name)) if !prefix.is_empty() && !name.is_empty() && !name.contains('.') => (prefix, name),
            Some(_) => return None,
            None => ("", written),
        };
        let (_, namespace) = self.declared.iter().rev().find(|(declared, _)| declared == prefix)?;
        namespace.map(|namespace| (namespace, name))
    }

    fn knows(&self, written: &str) -> bool {
        match self.resolve(written) {
            Some((Namespace::Cpim, name)) => CPIM_HEADERS.contains(&name),
            Some((Namespace::Imdn, _)) => true,
            None => false,
        }
    }
}

/// `NAMECHAR` of RFC 3862.
fn is_name_character(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-^_`|~".contains(&byte)
}

/// The language among the parameters of a header, and its value.
fn parameters(mut rest: &str) -> (Option<&str>, &str) {
    let mut language = None;
    while let Some(after) = rest.strip_prefix(';') {
        let (parameter, tail) = after.split_at_checked(end_of_parameter(after)).unwrap_or((after, ""));
        language = language.or(parameter.strip_prefix("lang="));
        rest = tail;
    }
    (language, rest)
}

/// A space or the next parameter ends one, but for those in quotes.
fn end_of_parameter(text: &str) -> usize {
    let (mut quoted, mut escaped) = (false, false);
    let ends = |byte: u8| match byte {
        _ if escaped => {
            escaped = false;
            false
        }
        b'\\' => {
            escaped = true;
            false
        }
        b'"' => {
            quoted = !quoted;
            false
        }
        b' ' | b';' => !quoted,
        _ => false,
    };
    text.bytes().position(ends).unwrap_or(text.len())
}

#[cfg(test)]
mod tests;
