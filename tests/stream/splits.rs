//! Properties of every input.

use proptest::prelude::*;

use xmpp_gateway::xmpp::component::Component;
use xmpp_gateway::xmpp::element::Element;
use xmpp_gateway::xmpp::fault::Fault;
use xmpp_gateway::xmpp::framer::Limits;
use xmpp_gateway::xmpp::framer::Refused;
use xmpp_gateway::xmpp::framer::StreamEvent;

use crate::HEADER;
use crate::Outcome;
use crate::read_pieces;

/// Small enough that inputs of a few hundred bytes meet these limits.
fn limits() -> impl Strategy<Value = Limits> {
    (prop_oneof![HEADER.len()..200, Just(400)], 0..5_usize, 0..200_usize)
        .prop_map(|(stanza_bytes, depth, skipped_bytes)| Limits { stanza_bytes, depth, skipped_bytes })
}

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
        "<message><a><b><c><d/>",
        "</c></b></a></message>",
        "<iq a='0123456789012345678901234567890123456789012345678901234567890123456789'",
        "<![CDATA[</message><message>]]>",
        MANY_ATTRIBUTES,
    ];
    prop_oneof![
        8 => proptest::sample::select(known.to_vec()).prop_map(|text| text.as_bytes().to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 1..5),
    ]
}

/// One more than an element may have; in few bytes, so that limits of bytes do not strike first.
const MANY_ATTRIBUTES: &str = "<iq a='' b='' c='' d='' e='' f='' g='' h='' i='' j='' k='' l='' m='' n='' o='' p='' q='' r='' s='' t='' \
    u='' v='' w='' x='' y='' z='' A='' B='' C='' D='' E='' F='' G='' H='' I='' J='' K='' L='' M='' N='' O='' P='' Q='' R='' S='' T='' \
    U='' V='' W='' X='' Y='' Z='' aa='' ab='' ac='' ad='' ae='' af='' ag='' ah='' ai='' aj='' ak='' al='' am='' an=''/>";

fn stream() -> impl Strategy<Value = Vec<u8>> {
    let opened = prop_oneof![4 => Just(HEADER.as_bytes().to_vec()), 1 => Just(Vec::new())];
    (opened, proptest::collection::vec(fragment(), 0..24)).prop_map(|(header, rest)| [header, rest.concat()].concat())
}

/// A well-formed element, of all that may hide where it ends.
fn element() -> impl Strategy<Value = String> {
    let attributes = ["", " ", " id='/'", " a='/>' b=\"'\"", " a='/a>'", " a=\">\"", " xmlns='urn:x' xmlns:p='urn:p'", " a=''\n"];
    let text = ["", " ", "text", "/>", "&lt;", "<![CDATA[</a>]]>", "<![CDATA[<a>]]]]>", "<![CDATA[]]>", "caf\u{e9}"];
    let start = (proptest::sample::select(vec!["a", "iq", "message"]), proptest::sample::select(attributes.to_vec()));
    let empty = start.clone().prop_map(|(name, attributes)| format!("<{name}{attributes}/>"));
    empty.prop_recursive(6, 20, 4, move |inner| {
        let text = proptest::sample::select(text.to_vec()).prop_map(str::to_owned);
        let content = proptest::collection::vec(prop_oneof![text, inner], 0..4);
        (start.clone(), content).prop_map(|((name, attributes), content)| {
            format!("<{name}{attributes}>{}</{name}{}>", content.concat(), if attributes.ends_with('\n') { " " } else { "" })
        })
    })
}

fn read_cut(limits: Limits, input: &[u8], sizes: &[usize]) -> Outcome {
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
    read_pieces(limits, pieces)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_split_tells_the_same(limits in limits(), input in stream(), sizes in proptest::collection::vec(1..40_usize, 1..8)) {
        let whole = read_pieces(limits, [&input[..]]);
        prop_assert_eq!(read_cut(limits, &input, &[1]), Outcome { events: whole.events.clone(), fault: whole.fault });
        prop_assert_eq!(read_cut(limits, &input, &sizes), whole);
    }

    #[test]
    fn any_bytes_are_read_or_refused(limits in limits(), input in proptest::collection::vec(any::<u8>(), 0..300)) {
        read_pieces(limits, [&input[..]]);
        let opened = [HEADER.as_bytes(), &input].concat();
        read_pieces(limits, opened.chunks(7));
        let mut component = Component::with_limits("sip.example.net", "secret", limits);
        component.start();
        let mut input = &opened[..];
        while component.next(&mut input).is_some() {}
        prop_assert!(input.is_empty());
    }

    /// What was read is well-formed: written again, it is read as the same.
    #[test]
    fn what_is_read_can_be_written_and_read_again(limits in limits(), input in stream()) {
        let outcome = read_pieces(limits, [&input[..]]);
        let refused = outcome.refused();
        for stanza in outcome.stanzas().into_iter().chain(refused.iter().filter_map(|refused| refused.stanza.as_ref())) {
            let written = format!("{stanza:?}");
            prop_assert_eq!(Element::parse(&written), Ok(stanza.clone()));
        }
    }

    /// Limits decide what is kept of a stanza, and never where it ends.
    #[test]
    fn a_limit_takes_away_a_stanza_and_nothing_else(
        limits in limits(),
        stanzas in proptest::collection::vec(element(), 0..6),
        sizes in proptest::collection::vec(1..40_usize, 1..8),
    ) {
        let input = format!("{HEADER}{}</stream:stream>", stanzas.concat());
        let limits = Limits { skipped_bytes: input.len(), ..limits };
        let all = read_pieces(Limits::default(), [input.as_bytes()]);
        let some = read_cut(limits, input.as_bytes(), &sizes);
        prop_assert_eq!((all.fault, some.fault), (None, None));
        prop_assert_eq!(all.events.len(), stanzas.len() + 2);
        prop_assert_eq!(all.events.len(), some.events.len());
        for (whole, kept) in all.events.iter().zip(&some.events) {
            match (whole, kept) {
                (StreamEvent::Stanza(whole), StreamEvent::Refused(Refused { stanza: Some(stanza), .. })) => {
                    prop_assert!(stanza.is(whole.name(), whole.ns()));
                    prop_assert_eq!(stanza.attribute("id"), whole.attribute("id"));
                }
                (StreamEvent::Stanza(_), StreamEvent::Refused(Refused { stanza: None, fault })) => {
                    prop_assert_eq!(*fault, Fault::Bytes);
                }
                _ => prop_assert_eq!(whole, kept),
            }
        }
    }
}
