//! Properties of every input.

use proptest::prelude::*;

use xmpp_gateway::xmpp::component::Component;
use xmpp_gateway::xmpp::element::Element;
use xmpp_gateway::xmpp::framer::Limits;

use crate::HEADER;
use crate::Outcome;
use crate::read_pieces;

/// Small enough that inputs of a few hundred bytes meet every limit.
const LIMITS: Limits = Limits { stanza_bytes: 160, depth: 4 };

/// Pieces of XML, good and bad, that together make streams, near-streams and nonsense.
fn fragment() -> impl Strategy<Value = Vec<u8>> {
    let known = [
        "<message>",
        "</message>",
        "<presence/>",
        "<body>",
        "</body>",
        "<a b='c' d=\"'\">",
        "</a>",
        "<x:y xmlns:x='urn:x'/>",
        "<x:y/>",
        " ",
        "\r\n",
        "text",
        "caf\u{e9} \u{1F600}",
        "&amp;",
        "&#65;",
        "&#0;",
        "&lol;",
        "&",
        "<![CDATA[",
        "]]>",
        "]",
        ">",
        "<",
        "'",
        "\"",
        "<!--",
        "-->",
        "<?x ?>",
        "<!DOCTYPE x>",
        "</stream:stream>",
        "\0",
        "\u{ffff}",
        "<a xmlns=''>",
        "<a a='1' a='2'/>",
        "</",
        "/>",
        "<message to='romeo@example.net' xml:lang='en'><body>a &lt; b</body></message>",
    ];
    prop_oneof![
        8 => proptest::sample::select(known.to_vec()).prop_map(|text| text.as_bytes().to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 1..5),
    ]
}

fn stream() -> impl Strategy<Value = Vec<u8>> {
    let opened = prop_oneof![4 => Just(HEADER.as_bytes().to_vec()), 1 => Just(Vec::new())];
    (opened, proptest::collection::vec(fragment(), 0..24)).prop_map(|(header, rest)| [header, rest.concat()].concat())
}

fn read_cut(input: &[u8], sizes: &[usize]) -> Outcome {
    let mut rest = input;
    let mut pieces = Vec::new();
    for size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (piece, tail) = rest.split_at((*size).min(rest.len()));
        pieces.push(piece);
        rest = tail;
    }
    read_pieces(LIMITS, pieces)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_split_tells_the_same(input in stream(), sizes in proptest::collection::vec(1..40_usize, 1..8)) {
        let whole = read_pieces(LIMITS, [&input[..]]);
        prop_assert_eq!(read_cut(&input, &[1]), Outcome { events: whole.events.clone(), fault: whole.fault });
        prop_assert_eq!(read_cut(&input, &sizes), whole);
    }

    #[test]
    fn any_bytes_are_read_or_refused(input in proptest::collection::vec(any::<u8>(), 0..300)) {
        read_pieces(LIMITS, [&input[..]]);
        let opened = [HEADER.as_bytes(), &input].concat();
        read_pieces(LIMITS, opened.chunks(7));
        let mut component = Component::new("sip.example.net", "secret");
        component.start();
        let mut input = &opened[..];
        while component.next(&mut input).is_some() {}
        prop_assert!(input.is_empty());
    }

    /// What was read is well-formed: written again, it is read as the same.
    #[test]
    fn what_is_read_can_be_written_and_read_again(input in stream()) {
        let outcome = read_pieces(LIMITS, [&input[..]]);
        for stanza in outcome.stanzas() {
            let written = format!("{stanza:?}");
            prop_assert_eq!(Element::parse(&written), Ok(stanza.clone()));
        }
    }
}
