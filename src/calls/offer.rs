//! What SDP of a request within a call, or of its answer (RFC 3264), says of who hears whom: hold and resume.
//!
//! Who puts a call on hold offers streams that go one way, or none (`sendonly`, `inactive`, RFC 3264 §8.4), or, as RFC 2543 had it, the
//! address 0.0.0.0: whatever comes in then is not played. Lines of other body parts beside the SDP are no lines of SDP, and do not matter.

use super::Rendering;
use super::Streams;

/// Whether who offers this will play what is sent. `None` where it offers no stream, and so says nothing.
pub fn rendering(body: &[u8]) -> Option<Rendering> {
    streams(body).map(|streams| match streams {
        Streams::Played => Rendering::Yes,
        Streams::Sent | Streams::Inactive => Rendering::No,
    })
}

/// What who says this does with the streams. `None` where there is none.
pub fn streams(body: &[u8]) -> Option<Streams> {
    let mut session = Media::default();
    let mut streams: Vec<Media> = Vec::new();
    for line in body.split(|byte| *byte == b'\n').take(MAX_LINES).map(<[u8]>::trim_ascii) {
        let Some((kind, value)) = line.split_first_chunk::<2>() else { continue };
        if kind == b"m=" {
            streams.push(Media { is_refused: is_refused(value), ..session });
            continue;
        }
        let media = streams.last_mut().unwrap_or(&mut session);
        match kind {
            b"c=" => media.is_nowhere = is_nowhere(value),
            b"a=" => media.streams = direction(value).unwrap_or(media.streams),
            _ => {}
        }
    }
    let mut some = streams.iter().filter(|media| !media.is_refused).peekable();
    some.peek()?;
    let each: Vec<Streams> = some.map(|media| if media.is_nowhere { Streams::Inactive } else { media.streams }).collect();
    let has = |wanted| each.contains(&wanted);
    Some(if has(Streams::Played) {
        Streams::Played
    } else if has(Streams::Sent) {
        Streams::Sent
    } else {
        Streams::Inactive
    })
}

/// More than any SDP has.
const MAX_LINES: usize = 2000;

/// One stream, or what counts for all that do not say otherwise.
#[derive(Debug, Clone, Copy)]
struct Media {
    /// Its port is 0.
    is_refused: bool,
    streams: Streams,
    /// Its address is none.
    is_nowhere: bool,
}

impl Default for Media {
    fn default() -> Self {
        Self { is_refused: false, streams: Streams::Played, is_nowhere: false }
    }
}

/// `audio 0 RTP/AVP 0`.
fn is_refused(media: &[u8]) -> bool {
    media.split(|byte| *byte == b' ').nth(1).is_some_and(|port| port == b"0")
}

fn direction(attribute: &[u8]) -> Option<Streams> {
    match attribute.trim_ascii() {
        b"sendonly" => Some(Streams::Sent),
        b"inactive" => Some(Streams::Inactive),
        b"recvonly" | b"sendrecv" => Some(Streams::Played),
        _ => None,
    }
}

fn is_nowhere(connection: &[u8]) -> bool {
    matches!(connection.trim_ascii(), b"IN IP4 0.0.0.0" | b"IN IP6 ::")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(session: &str, streams: &[&str]) -> Option<Rendering> {
        let head = "v=0\r\no=- 1 2 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\n";
        rendering([head, session, &streams.concat()].concat().as_bytes())
    }

    const AUDIO: &str = "m=audio 4000 RTP/AVP 0\r\n";
    const CONNECTION: &str = "c=IN IP4 192.0.2.1\r\n";

    #[test]
    fn who_holds_the_call_does_not_hear() {
        for (session, streams, hears) in [
            (CONNECTION, &[AUDIO][..], Rendering::Yes),
            (CONNECTION, &[AUDIO, "a=sendrecv\r\n"], Rendering::Yes),
            (CONNECTION, &[AUDIO, "a=recvonly\r\n"], Rendering::Yes),
            (CONNECTION, &[AUDIO, "a=sendonly\r\n"], Rendering::No),
            (CONNECTION, &[AUDIO, "a=inactive\r\n"], Rendering::No),
            ("c=IN IP4 0.0.0.0\r\n", &[AUDIO], Rendering::No),
            (CONNECTION, &[AUDIO, "c=IN IP4 0.0.0.0\r\n"], Rendering::No),
            ("c=IN IP4 0.0.0.0\r\n", &[AUDIO, CONNECTION], Rendering::Yes),
            ("c=IN IP6 ::\r\n", &[AUDIO], Rendering::No),
            ("a=sendonly\r\n", &[AUDIO], Rendering::No),
            ("a=sendonly\r\n", &[AUDIO, "a=sendrecv\r\n"], Rendering::Yes),
            // One of two streams is heard.
            (CONNECTION, &[AUDIO, "a=inactive\r\n", "m=video 4002 RTP/AVP 99\r\n"], Rendering::Yes),
            // The other one is not offered at all.
            (CONNECTION, &[AUDIO, "a=inactive\r\n", "m=video 0 RTP/AVP 99\r\n"], Rendering::No),
        ] {
            assert_eq!(offer(session, streams), Some(hears), "{session} {streams:?}");
        }
    }

    #[test]
    fn who_does_not_play_may_send() {
        let said = |direction: &str| streams(format!("{AUDIO}a={direction}\r\n").as_bytes());
        assert_eq!(said("sendonly"), Some(Streams::Sent));
        assert_eq!(said("inactive"), Some(Streams::Inactive));
        assert_eq!(said("sendrecv"), Some(Streams::Played));
        assert_eq!(streams([AUDIO, "a=inactive\r\n", AUDIO, "a=sendonly\r\n"].concat().as_bytes()), Some(Streams::Sent));
        assert_eq!(streams([AUDIO, "c=IN IP4 0.0.0.0\r\n"].concat().as_bytes()), Some(Streams::Inactive));
    }

    #[test]
    fn what_is_no_offer_says_nothing() {
        assert_eq!(rendering(b""), None);
        assert_eq!(rendering(b"a=sendonly"), None);
        assert_eq!(rendering(b"m="), Some(Rendering::Yes));
        assert_eq!(offer(CONNECTION, &["m=audio 0 RTP/AVP 0\r\n", "a=inactive\r\n"]), None);
    }

    #[test]
    fn the_sdp_may_be_one_part_of_several() {
        let body = "--b\r\nContent-Type: application/sdp\r\n\r\nv=0\r\nm=audio 4000 RTP/AVP 0\r\na=sendonly\r\n--b\r\n\
                    Content-Type: application/pidf+xml\r\n\r\n<a>m=1</a>\r\n--b--\r\n";
        assert_eq!(rendering(body.as_bytes()), Some(Rendering::No));
    }
}
