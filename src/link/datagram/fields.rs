//! Numbers and texts of a datagram.

use super::DecodeError;

/// What is left of a datagram.
pub(in crate::link) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(in crate::link) fn of(rest: &'a [u8]) -> Self {
        Self { rest }
    }

    /// Nothing may be left.
    pub(in crate::link) fn end(&self) -> Result<(), DecodeError> {
        if self.rest.is_empty() { Ok(()) } else { Err(DecodeError::Trailing) }
    }

    pub(in crate::link) fn number(&mut self) -> Result<u32, DecodeError> {
        let (bytes, rest) = self.rest.split_first_chunk::<4>().ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(u32::from_le_bytes(*bytes))
    }

    pub(super) fn optional_number(&mut self) -> Result<Option<u32>, DecodeError> {
        match (self.number()?, self.number()?) {
            (0, 0) => Ok(None),
            (1, number) => Ok(Some(number)),
            _ => Err(DecodeError::Tag),
        }
    }

    pub(super) fn long_number(&mut self) -> Result<u64, DecodeError> {
        let (bytes, rest) = self.rest.split_first_chunk::<8>().ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(u64::from_le_bytes(*bytes))
    }

    pub(in crate::link) fn text(&mut self) -> Result<String, DecodeError> {
        let length = usize::try_from(self.number()?).map_err(|_| DecodeError::Truncated)?;
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        text(bytes)
    }

    /// A text that is never empty where it is there.
    pub(in crate::link) fn optional(&mut self) -> Result<Option<String>, DecodeError> {
        Ok(Some(self.text()?).filter(|text| !text.is_empty()))
    }

    /// A count and that many items. The memory it takes is bounded by the datagram: no item is empty on the wire.
    pub(super) fn list<T>(&mut self, item: impl Fn(&mut Self) -> Result<T, DecodeError>) -> Result<Vec<T>, DecodeError> {
        (0..self.number()?).map(|_| item(self)).collect()
    }
}

pub(super) fn text(bytes: &[u8]) -> Result<String, DecodeError> {
    String::from_utf8(bytes.to_vec()).map_err(|_| DecodeError::Text)
}

pub(in crate::link) fn push_number(out: &mut Vec<u8>, number: u32) {
    out.extend_from_slice(&number.to_le_bytes());
}

/// One that may be 0, or absent.
pub(super) fn push_optional(out: &mut Vec<u8>, number: Option<u32>) {
    push_number(out, u32::from(number.is_some()));
    push_number(out, number.unwrap_or_default());
}

pub(in crate::link) fn push_text(out: &mut Vec<u8>, text: &str) {
    push_number(out, count(text.len()));
    out.extend_from_slice(text.as_bytes());
}

/// Lengths never come near 4 GiB: a datagram ends at 192 KiB.
pub(super) fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
