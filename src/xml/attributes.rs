//! Names and attributes as XML 1.0 and Namespaces in XML write them: what quick-xml leaves to its user to check.

/// What is no XML.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotWellFormed;

/// The attributes of a start tag, with their values as written.
#[derive(Debug, Clone)]
pub(crate) struct Attributes<'a> {
    rest: &'a str,
}

impl<'a> Attributes<'a> {
    /// What stands behind the name in a start tag; a slash at the end is not of it.
    pub(crate) fn new(rest: &'a str) -> Self {
        Self { rest }
    }

    /// Reads the pseudo-attributes of an XML declaration.
    pub(crate) fn of_declaration(token: &'a str) -> Option<Self> {
        let rest = token.strip_prefix("<?xml")?.strip_suffix("?>")?;
        rest.starts_with(|c: char| c.is_ascii_whitespace()).then_some(Self { rest })
    }

    /// How many bytes they take as written.
    pub(crate) fn len(&self) -> usize {
        self.rest.len()
    }

    fn read(&mut self) -> Option<(Name<'a>, &'a str)> {
        let written = self.rest.trim_ascii_start();
        if written.len() == self.rest.len() {
            return None;
        }
        let (name, value) = split(written, b'=')?;
        let value = value.trim_ascii_start();
        let (value, rest) = match value.strip_prefix('\'') {
            Some(value) => split(value, b'\'')?,
            None => split(value.strip_prefix('"')?, b'"')?,
        };
        self.rest = rest;
        Some((Name::parse(name.trim_ascii_end()).ok()?, value))
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Result<(Name<'a>, &'a str), NotWellFormed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.trim_ascii_start().is_empty() {
            return None;
        }
        let attribute = self.read();
        if attribute.is_none() {
            self.rest = "";
        }
        Some(attribute.ok_or(NotWellFormed))
    }
}

/// A qualified name (Namespaces in XML §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Name<'a> {
    /// Empty if there is none.
    pub(crate) prefix: &'a str,
    /// The part after the colon.
    pub(crate) local: &'a str,
}

impl<'a> Name<'a> {
    /// Splits and checks a name.
    pub(crate) fn parse(written: &'a str) -> Result<Self, NotWellFormed> {
        let name = match split(written, b':') {
            Some((prefix, local)) if is_name(prefix) => Self { prefix, local },
            Some(_) => return Err(NotWellFormed),
            None => Self { prefix: "", local: written },
        };
        if is_name(name.local) { Ok(name) } else { Err(NotWellFormed) }
    }
}

/// What stands before and behind the first such byte, which is ASCII.
fn split(text: &str, byte: u8) -> Option<(&str, &str)> {
    let at = memchr::memchr(byte, text.as_bytes())?;
    Some((text.get(..at)?, text.get(at.saturating_add(1)..)?))
}

/// NCName (Namespaces in XML §3).
pub(crate) fn is_name(name: &str) -> bool {
    if name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-') {
        return !name.is_empty() && !name.starts_with('-');
    }
    let mut characters = name.chars();
    characters.next().is_some_and(is_name_start) && characters.all(is_name_character)
}

fn is_name_character(c: char) -> bool {
    matches!(c, '-' | '.' | '0'..='9' | '\u{b7}' | '\u{300}'..='\u{36f}' | '\u{203f}'..='\u{2040}') || is_name_start(c)
}

fn is_name_start(c: char) -> bool {
    matches!(c,
        'a'..='z' | 'A'..='Z' | '_'
        | '\u{c0}'..='\u{d6}' | '\u{d8}'..='\u{f6}' | '\u{f8}'..='\u{2ff}' | '\u{370}'..='\u{37d}'
        | '\u{37f}'..='\u{1fff}' | '\u{200c}'..='\u{200d}' | '\u{2070}'..='\u{218f}' | '\u{2c00}'..='\u{2fef}'
        | '\u{3001}'..='\u{d7ff}' | '\u{f900}'..='\u{fdcf}' | '\u{fdf0}'..='\u{fffd}' | '\u{10000}'..='\u{effff}')
}
