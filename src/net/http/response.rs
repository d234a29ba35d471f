//! A response of HTTP/1.1 (RFC 9112), read as its bytes come in: the head by httparse, the body by its length, in chunks, or to the end of the
//! connection. How the input is split never changes what comes out.
//!
//! ```
//! # use xmpp_gateway::net::http::response::Reader;
//! let mut reader = Reader::default();
//! assert!(reader.read(b"HTTP/1.1 200 OK\r\nContent-Le").unwrap().is_none());
//! let response = reader.read(b"ngth: 3\r\n\r\none").unwrap().unwrap();
//! assert_eq!((response.status, &*response.body), (200, &b"one"[..]));
//! ```

use std::mem;

use httparse::EMPTY_HEADER;
use httparse::Header;
use httparse::Status;

/// What was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Where else it is to be had, with a status of 3xx.
    pub location: Option<String>,
    /// The content.
    pub body: Vec<u8>,
    /// Whether the connection takes another request.
    pub after: After,
}

/// What becomes of a connection after a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// It takes another request.
    Open,
    /// It ends.
    Over,
}

/// Why it is no response. The server is to blame, or what stands in front of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is no HTTP/1, or says of its length what cannot be.
    NoHttp,
    /// The head, or the line of a chunk, is longer than it may be.
    LongHead,
    /// The body is.
    LongBody,
    /// It ended before its end.
    BrokenOff,
}

/// Reads one response.
#[derive(Debug, Default)]
pub struct Reader {
    /// What came and was not understood yet.
    input: Vec<u8>,
    place: Place,
    head: Option<Response>,
    body: Vec<u8>,
    /// Bytes of trailers so far.
    trailers: usize,
}

/// What comes next.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Head,
    /// So many more bytes of the body.
    Body(usize),
    /// A body as long as the connection.
    ToTheEnd,
    /// The line before a chunk.
    ChunkSize,
    /// So many more bytes of a chunk.
    Chunk(usize),
    /// The end of the line after it.
    ChunkEnd,
    /// The lines after the last one.
    Trailers,
    Done,
}

/// Whether more can be made of what is there.
enum Step {
    /// So much of it was understood.
    Taken(usize),
    /// There is too little.
    Wanting,
}

impl Reader {
    /// Takes some bytes; the response, once all of it is there. Nothing is to follow a response or a fault.
    pub fn read(&mut self, bytes: &[u8]) -> Result<Option<Response>, Fault> {
        self.input.extend_from_slice(bytes);
        let input = mem::take(&mut self.input);
        let mut rest = &*input;
        while self.place != Place::Done {
            match self.step(rest)? {
                Step::Taken(count) => rest = rest.get(count..).unwrap_or_default(),
                Step::Wanting => {
                    self.input = rest.to_vec();
                    return Ok(None);
                }
            }
        }
        // Nothing was asked for that it could be the answer to.
        Ok(self.response(if rest.is_empty() { After::Open } else { After::Over }))
    }

    /// The connection has ended.
    pub fn end(&mut self) -> Result<Response, Fault> {
        let is_whole = self.place == Place::ToTheEnd;
        self.response(After::Over).filter(|_| is_whole).ok_or(Fault::BrokenOff)
    }

    fn response(&mut self, after: After) -> Option<Response> {
        let head = self.head.take()?;
        let after = if head.after == After::Open { after } else { After::Over };
        Some(Response { body: mem::take(&mut self.body), after, ..head })
    }

    fn step(&mut self, input: &[u8]) -> Result<Step, Fault> {
        match self.place {
            Place::Head => self.head(input),
            Place::Body(0) => self.go(Place::Done, 0),
            Place::Body(left) => self.take(input, left, Place::Body),
            Place::ToTheEnd => self.take(input, usize::MAX, |_| Place::ToTheEnd),
            Place::ChunkSize => match httparse::parse_chunk_size(input) {
                Ok(Status::Complete((end, _))) if end > LONGEST_LINE => Err(Fault::LongHead),
                Ok(Status::Complete((end, 0))) => self.go(Place::Trailers, end),
                Ok(Status::Complete((end, size))) => {
                    self.go(Place::Chunk(usize::try_from(size).map_err(|_| Fault::LongBody)?), end)
                }
                Ok(Status::Partial) if input.len() > LONGEST_LINE => Err(Fault::LongHead),
                Ok(Status::Partial) => Ok(Step::Wanting),
                Err(_) => Err(Fault::NoHttp),
            },
            Place::Chunk(0) => self.go(Place::ChunkEnd, 0),
            Place::Chunk(left) => self.take(input, left, Place::Chunk),
            Place::ChunkEnd => match input {
                [b'\r', b'\n', ..] => self.go(Place::ChunkSize, 2),
                [] | [b'\r'] => Ok(Step::Wanting),
                _ => Err(Fault::NoHttp),
            },
            Place::Trailers => {
                let end = memchr::memchr(b'\n', input).map(|at| at.saturating_add(1));
                let length = end.unwrap_or(input.len());
                if self.trailers.saturating_add(length) > LONGEST_HEAD {
                    return Err(Fault::LongHead);
                }
                let Some(end) = end else { return Ok(Step::Wanting) };
                self.trailers = self.trailers.saturating_add(end);
                let is_last = input.get(..end).is_some_and(|line| line.trim_ascii().is_empty());
                self.go(if is_last { Place::Done } else { Place::Trailers }, end)
            }
            Place::Done => Ok(Step::Wanting),
        }
    }

    fn go(&mut self, place: Place, taken: usize) -> Result<Step, Fault> {
        self.place = place;
        Ok(Step::Taken(taken))
    }

    /// Bytes of the body, as far as they are there.
    fn take(&mut self, input: &[u8], left: usize, then: impl Fn(usize) -> Place) -> Result<Step, Fault> {
        let some = input.get(..left).unwrap_or(input);
        if some.is_empty() {
            return Ok(Step::Wanting);
        }
        if self.body.len().saturating_add(some.len()) > LONGEST_BODY {
            return Err(Fault::LongBody);
        }
        self.body.extend_from_slice(some);
        self.go(then(left.saturating_sub(some.len())), some.len())
    }

    fn head(&mut self, input: &[u8]) -> Result<Step, Fault> {
        let mut headers = [EMPTY_HEADER; MOST_HEADERS];
        let mut head = httparse::Response::new(&mut headers);
        let end = match head.parse(input) {
            Ok(Status::Complete(end)) if end <= LONGEST_HEAD => end,
            Ok(Status::Partial) if input.len() <= LONGEST_HEAD => return Ok(Step::Wanting),
            Ok(Status::Complete(_) | Status::Partial) | Err(httparse::Error::TooManyHeaders) => return Err(Fault::LongHead),
            Err(_) => return Err(Fault::NoHttp),
        };
        let status = head.code.unwrap_or(0);
        match status {
            // We have asked for no other protocol.
            101 => return Err(Fault::NoHttp),
            // One that says that another one comes (RFC 9110 §15.2).
            100..200 => return self.go(Place::Head, end),
            200..1000 => {}
            _ => return Err(Fault::NoHttp),
        }
        let after =
            if head.version == Some(1) && !has_token(head.headers, "connection", "close") { After::Open } else { After::Over };
        let place = place(status, head.headers)?;
        let is_doubtful =
            header(head.headers, "transfer-encoding").next().is_some() && header(head.headers, "content-length").next().is_some();
        let lasts = after == After::Open && place != Place::ToTheEnd && !is_doubtful;
        let location = header(head.headers, "location").next().filter(|_| (300..400).contains(&status));
        let location = location.and_then(|location| str::from_utf8(location).ok()).map(str::to_owned);
        let after = if lasts { After::Open } else { After::Over };
        self.head = Some(Response { status, location, body: Vec::new(), after });
        self.go(place, end)
    }
}

/// How long the body is (RFC 9112 §6.3).
fn place(status: u16, headers: &[Header<'_>]) -> Result<Place, Fault> {
    if matches!(status, 204 | 304) {
        return Ok(Place::Done);
    }
    let mut codings = header(headers, "transfer-encoding");
    if let Some(coding) = codings.next() {
        // Nothing else was asked for.
        let is_chunked = coding.trim_ascii().eq_ignore_ascii_case(b"chunked") && codings.next().is_none();
        return if is_chunked { Ok(Place::ChunkSize) } else { Err(Fault::NoHttp) };
    }
    let mut lengths = header(headers, "content-length").map(length);
    match lengths.next() {
        None => Ok(Place::ToTheEnd),
        Some(first) if lengths.all(|other| other == first) => match first.ok_or(Fault::NoHttp)? {
            length if length <= LONGEST_BODY => Ok(Place::Body(length)),
            _ => Err(Fault::LongBody),
        },
        Some(_) => Err(Fault::NoHttp),
    }
}

fn length(value: &[u8]) -> Option<usize> {
    let digits = str::from_utf8(value.trim_ascii()).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
    digits.parse().ok()
}

fn header<'a>(headers: &'a [Header<'_>], name: &str) -> impl Iterator<Item = &'a [u8]> {
    headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value)
}

fn has_token(headers: &[Header<'_>], name: &str, token: &str) -> bool {
    let mut tokens = header(headers, name).flat_map(|value| value.split(|byte| *byte == b','));
    tokens.any(|found| found.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
}

/// Bytes of a response's content.
pub const LONGEST_BODY: usize = 1024 * 1024;

/// Bytes of a head, and of trailers.
const LONGEST_HEAD: usize = 16 * 1024;

/// Bytes of the line before a chunk.
const LONGEST_LINE: usize = 1024;

/// Headers of a response.
const MOST_HEADERS: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    /// What is made of it, whole and byte by byte; the end of the connection follows.
    fn read(text: &str) -> Result<(u16, String), Fault> {
        let piecewise = |pieces: &mut dyn Iterator<Item = &[u8]>| {
            let mut reader = Reader::default();
            for piece in pieces {
                if let Some(response) = reader.read(piece)? {
                    return Ok(response);
                }
            }
            reader.end()
        };
        let of = |response: Response| (response.status, String::from_utf8(response.body).unwrap());
        let whole = piecewise(&mut [text.as_bytes()].into_iter()).map(of);
        assert_eq!(piecewise(&mut text.as_bytes().chunks(1)).map(of), whole, "{text}");
        whole
    }

    fn after(text: &str) -> After {
        Reader::default().read(text.as_bytes()).unwrap().unwrap().after
    }

    #[test]
    fn a_body_is_as_long_as_it_says() {
        let ok = |body: &str| Ok((200, body.to_owned()));
        assert_eq!(read("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none"), ok("one"));
        assert_eq!(read("HTTP/1.1 200 OK\r\ncontent-length: 3\r\nContent-Length: 3\r\n\r\none"), ok("one"));
        assert_eq!(read("HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n"), ok(""));
        assert_eq!(read("HTTP/1.0 200 OK\r\n\r\nto the end"), ok("to the end"));
        assert_eq!(read("HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno"), Ok((404, "no".to_owned())));
        assert_eq!(read("HTTP/1.1 204 No Content\r\n\r\n"), Ok((204, String::new())));
        assert_eq!(read("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"), ok("x"));
    }

    #[test]
    fn a_redirect_says_where_else() {
        let location = |status| {
            let text = format!("HTTP/1.1 {status} x\r\nlocation:  /there \r\nContent-Length: 0\r\n\r\n");
            Reader::default().read(text.as_bytes()).unwrap().unwrap().location
        };
        assert_eq!(location(302).as_deref(), Some("/there"));
        assert_eq!(location(200), None);
    }

    #[test]
    fn chunks_are_put_together() {
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n";
        assert_eq!(
            read(&format!("{head}3\r\none\r\n0b;x=y\r\n, two more.\r\n0\r\n\r\n")),
            Ok((200, "one, two more.".to_owned()))
        );
        assert_eq!(read(&format!("{head}0\r\nExpires: never\r\nX: y\r\n\r\n")), Ok((200, String::new())));
        for (wrong, fault) in [
            ("x\r\n", Fault::NoHttp),
            ("3\r\nones\r\n", Fault::NoHttp),
            ("3\r\non", Fault::BrokenOff),
            ("3\r\none\r\n", Fault::BrokenOff),
            ("3\r\none\r\n0\r\n", Fault::BrokenOff),
            ("fffffffffffffff\r\nx", Fault::BrokenOff),
        ] {
            assert_eq!(read(&format!("{head}{wrong}")), Err(fault), "{wrong}");
        }
        assert_eq!(read(&format!("{head}3;{}\r\none\r\n", "x".repeat(2000))), Err(Fault::LongHead));
        assert_eq!(read(&format!("{head}0\r\n{}", "a: b\r\n".repeat(4000))), Err(Fault::LongHead));
    }

    #[test]
    fn what_is_no_response_is_none() {
        let long = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(20_000));
        let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: y\r\n".repeat(200));
        for (text, fault) in [
            ("", Fault::BrokenOff),
            ("HTTP/1.1 200 OK\r\nContent-Le", Fault::BrokenOff),
            ("HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\none", Fault::BrokenOff),
            ("HTTP/1.1 200 OK\r\nContent-Length: 2000000\r\n\r\n", Fault::LongBody),
            ("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", Fault::NoHttp),
            ("HTTP/1.1 200 OK\r\nContent-Length: +3\r\n\r\none", Fault::NoHttp),
            ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\none", Fault::NoHttp),
            ("HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\n", Fault::NoHttp),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", Fault::NoHttp),
            ("HTTP/1.1 101 Switching Protocols\r\n\r\n", Fault::NoHttp),
            ("HTTP/2 200 OK\r\n\r\n", Fault::NoHttp),
            ("SSH-2.0-x\r\n", Fault::NoHttp),
            ("<html>", Fault::NoHttp),
            (&long, Fault::LongHead),
            (&many, Fault::LongHead),
        ] {
            assert_eq!(read(text), Err(fault), "{text}");
        }
        assert_eq!(read(&format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(LONGEST_BODY + 1))), Err(Fault::LongBody));
    }

    #[test]
    fn a_connection_lasts_unless_there_is_doubt() {
        assert_eq!(after("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"), After::Open);
        for text in [
            "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx",
            "HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 1\r\n\r\nx",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxHTTP/1.1 200 OK\r\n",
        ] {
            assert_eq!(after(text), After::Over, "{text}");
        }
    }
}
