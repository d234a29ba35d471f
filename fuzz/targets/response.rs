//! Any bytes, in any pieces, are read to the same response of HTTP or the same fault, and no more is kept than a response may have.
#![no_main]

use libfuzzer_sys::fuzz_target;
use xmpp_gateway::net::http::response::Fault;
use xmpp_gateway::net::http::response::LONGEST_BODY;
use xmpp_gateway::net::http::response::Reader;

fuzz_target!(|data: &[u8]| {
    let whole = read([data]);
    assert_eq!(read(data.chunks(1)), whole);
    let (head, tail) = data.split_at(data.iter().map(|byte| usize::from(*byte)).sum::<usize>() % (data.len() + 1));
    assert_eq!(read([head, tail]), whole);
});

fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<(u16, Vec<u8>), Fault> {
    let mut reader = Reader::default();
    for piece in pieces {
        if let Some(response) = reader.read(piece)? {
            assert!(response.body.len() <= LONGEST_BODY);
            return Ok((response.status, response.body));
        }
    }
    // What follows a response on its connection says only that it ends.
    reader.end().map(|response| (response.status, response.body))
}
