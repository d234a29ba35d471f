//! `cargo bench --bench parse`: how fast the framer makes elements of a stream, in bytes and in stanzas per second.
//!
//! The mix is what a component sees in a day: chat messages with and without markup in the text, presence with entity capabilities
//! (XEP-0115), questions and answers of service discovery, long bodies, text in many scripts. Each run reads a whole stream from its
//! header on, as the XMPP process does: in pieces of what one `read` gives.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, reason = "a benchmark ends at the first surprise")]

use std::fmt::Write;

use divan::Bencher;
use divan::counter::BytesCount;
use divan::counter::ItemsCount;
use xmpp_gateway::xmpp::framer::Framer;
use xmpp_gateway::xmpp::framer::StreamEvent;

fn main() {
    divan::main();
}

const HEADER: &str = "<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept' \
                      xmlns:stream='http://etherx.jabber.org/streams' from='sip.example.com' id='3BF96D32'>";

/// Stanzas of one stream.
const STANZAS: usize = 1000;

/// What is written of each user, `{n}` being the user's number.
const CHAT: &str = "<message from='romeo{n}@example.net/orchard' to='juliet{n}@sip.example.com' id='ktx72v{n}' type='chat' xml:lang='en'>\
                    <body>Neither, fair saint, if either thee dislike.</body><active xmlns='http://jabber.org/protocol/chatstates'/>\
                    <thread>e0ffe42b28561960c6b12b944a092794b9683a38</thread></message>";
const ENTITIES: &str = "<message from=\"romeo{n}@example.net/a&amp;b\" to=\"juliet{n}@sip.example.com\" id=\"x&lt;{n}&gt;\" type=\"chat\">\
                        <body>if (a &lt; b &amp;&amp; c &gt; d) { print(&quot;it&apos;s&quot;); }&#10;&#x1F600; &amp;c.</body></message>";
const SCRIPTS: &str = "<message from='ромео{n}@example.net' to='juliet{n}@sip.example.com' type='chat'><body>Но что за блеск я вижу на \
                       балконе? 你好 नमस्ते 😀 café</body></message>";
const PRESENCE: &str = "<presence from='romeo{n}@example.net/orchard' to='juliet{n}@sip.example.com' xml:lang='en'><show>away</show>\
                        <status>Gone to the masked ball</status><priority>5</priority>\
                        <c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='http://code.google.com/p/exodus' \
                        ver='QgayPKawpkPSDYmwT/WM94uAlu0='/><x xmlns='vcard-temp:x:update'>\
                        <photo>01b87fcd030b72895ff8e88db57ec525450f000d</photo></x></presence>";
const UNAVAILABLE: &str = "<presence from='romeo{n}@example.net/orchard' to='juliet{n}@sip.example.com' type='unavailable'/>";
const PING: &str = "<iq from='example.net' to='sip.example.com' id='ping{n}' type='get'><ping xmlns='urn:xmpp:ping'/></iq>";
const DISCO: &str = "<iq from='romeo{n}@example.net/orchard' to='sip.example.com' id='disco{n}' type='result'>\
                     <query xmlns='http://jabber.org/protocol/disco#info'><identity category='client' type='pc' name='Exodus 0.9.1'/>\
                     <feature var='http://jabber.org/protocol/caps'/><feature var='http://jabber.org/protocol/disco#info'/>\
                     <feature var='http://jabber.org/protocol/disco#items'/><feature var='http://jabber.org/protocol/muc'/></query></iq>";

/// The long body: a page of text.
const SENTENCE: &str = "With love's light wings did I o'er-perch these walls, for stony limits cannot hold love out. ";

fn long_body() -> String {
    let body = SENTENCE.repeat(40);
    format!(
        "<message from='romeo{{n}}@example.net/orchard' to='juliet{{n}}@sip.example.com' type='chat'><body>{body}</body></message>"
    )
}

/// A stream of these, in turn.
fn stream(stanzas: &[&str]) -> Vec<u8> {
    let mut stream = HEADER.to_owned();
    for (number, stanza) in stanzas.iter().cycle().take(STANZAS).enumerate() {
        stream.push_str(&stanza.replace("{n}", &number.to_string()));
    }
    write!(stream, "</stream:stream>").unwrap();
    stream.into_bytes()
}

/// Reads the stream in pieces of this size, and counts what comes out.
fn read(stream: &[u8], piece: usize) -> usize {
    let mut framer = Framer::default();
    let mut stanzas = 0_usize;
    for mut input in stream.chunks(piece) {
        while let Some(event) = framer.next(&mut input).unwrap() {
            if let StreamEvent::Stanza(stanza) = divan::black_box(event) {
                divan::black_box(stanza.attribute("from"));
                stanzas = stanzas.saturating_add(1);
            }
        }
    }
    stanzas
}

fn measure(bencher: Bencher<'_, '_>, stanzas: &[&str], piece: usize) {
    let stream = stream(stanzas);
    assert_eq!(read(&stream, piece), STANZAS, "every stanza comes out");
    bencher
        .counter(BytesCount::new(stream.len()))
        .counter(ItemsCount::new(STANZAS))
        .bench(|| read(divan::black_box(&stream), piece));
}

/// The mix, in pieces of one `read` of the XMPP process (64 KiB), of an Ethernet frame, and of a very slow peer.
#[divan::bench(args = [64 * 1024, 1460, 16])]
fn mix(bencher: Bencher<'_, '_>, piece: usize) {
    let long = long_body();
    let mix = [
        CHAT,
        PRESENCE,
        CHAT,
        ENTITIES,
        PRESENCE,
        PING,
        CHAT,
        UNAVAILABLE,
        PRESENCE,
        DISCO,
        CHAT,
        SCRIPTS,
        PRESENCE,
        CHAT,
        ENTITIES,
        PRESENCE,
        CHAT,
        UNAVAILABLE,
        &long,
        PRESENCE,
    ];
    measure(bencher, &mix, piece);
}

/// Each kind alone.
#[divan::bench(args = ["chat", "entities", "scripts", "long body", "presence with caps", "unavailable", "ping", "disco"])]
fn alone(bencher: Bencher<'_, '_>, kind: &str) {
    let long = long_body();
    let stanza = match kind {
        "chat" => CHAT,
        "entities" => ENTITIES,
        "scripts" => SCRIPTS,
        "long body" => &long,
        "presence with caps" => PRESENCE,
        "unavailable" => UNAVAILABLE,
        "ping" => PING,
        "disco" => DISCO,
        other => panic!("{other} is no kind of stanza"),
    };
    measure(bencher, &[stanza], 64 * 1024);
}
