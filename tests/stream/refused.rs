//! Stanzas beyond a limit: any user can send them through a server that takes them, so the stream of all users goes on.

use xmpp_gateway::xmpp::element::Element;
use xmpp_gateway::xmpp::fault::Fault;
use xmpp_gateway::xmpp::framer::Framer;
use xmpp_gateway::xmpp::framer::Limits;
use xmpp_gateway::xmpp::framer::Refused;
use xmpp_gateway::xmpp::framer::StreamEvent;
use xmpp_gateway::xmpp::ns;

use crate::HEADER;
use crate::read_open;
use crate::read_open_within;

const START: &str = "<message from='a@b' to='c@d' id='1' xml:lang='en'>";

/// Met by inputs that are short enough for every split.
const SMALL: Limits = Limits { stanza_bytes: 200, depth: 4, skipped_bytes: 1000 };

/// The stanza is refused for this fault, and what follows is read.
#[track_caller]
fn refused(limits: Limits, fault: Fault, stanza: &str) -> Refused {
    let shown = stanza.get(..60).unwrap_or(stanza);
    let outcome = read_open_within(limits, format!("{stanza}<presence from='e@f'/>{stanza}\n<iq/>"));
    assert_eq!(outcome.fault, None, "{shown}");
    let [StreamEvent::Refused(first), StreamEvent::Stanza(presence), StreamEvent::Refused(second), StreamEvent::Stanza(iq)] =
        &outcome.events[..]
    else {
        panic!("{shown}: {} events", outcome.events.len())
    };
    assert_eq!(presence, &Element::parse("<presence from='e@f'/>").unwrap(), "{shown}");
    assert_eq!(iq, &Element::parse("<iq/>").unwrap(), "{shown}");
    assert_eq!((first, first.fault), (second, fault), "{shown}");
    first.clone()
}

/// The same, and what is told of the stanza is its start tag.
#[track_caller]
fn refused_inside(limits: Limits, fault: Fault, inside: &str) {
    let stanza = refused(limits, fault, &format!("{START}{inside}</message>")).stanza;
    assert_eq!(stanza, Some(Element::parse(&format!("{START}</message>")).unwrap()));
}

#[test]
fn too_many_bytes_are_skipped_wherever_they_are() {
    for (long, limits) in [("x".repeat(300 * 1024), Limits::default()), ("x".repeat(200), SMALL)] {
        for inside in [
            long.clone(),
            format!("<body>{long}</body>"),
            format!("<body>short</body>{long}<body>short</body>"),
            format!("<![CDATA[{long}]]>"),
            format!("<![CDATA[</message>{long}</message>]]>]]"),
            format!("<a b='{long}'/>"),
            format!("<a b='{long}'></a>"),
            format!("<a b='/message>{long}/>'></a>"),
            format!("<a b=\"/>{long}'\" c='>'><d/></a>"),
            format!("<{long}/>"),
            format!("<{long}></{long}>"),
            format!("<a></a{}>", long.replace('x', " ")),
            format!("{long}<a><b><c><d><e/></d></c></b></a>"),
        ] {
            refused_inside(limits, Fault::Bytes, &inside);
        }
    }
}

#[test]
fn every_limit_is_one_of_the_stanza() {
    let attributes: String = (0..65).map(|number| format!(" a{number}=''")).collect();
    let limits = Limits::default();
    for inside in [format!("<a{attributes}/>"), format!("<a{attributes}></a>"), format!("<a><b{attributes}><c/></b></a>")] {
        refused_inside(limits, Fault::Attributes, &inside);
    }
    for inside in ["<a/>".repeat(8192), format!("<x>{}</x>", "<a/>".repeat(8191))] {
        refused_inside(limits, Fault::Elements, &inside);
    }
    let declarations = |from: usize| -> String { (from..from + 60).map(|number| format!(" xmlns:a{number}='u'")).collect() };
    let nested = format!("<a{}><a{}><a{}/></a></a>", declarations(0), declarations(60), declarations(120));
    refused_inside(limits, Fault::Declarations, &nested);
    let outcome = read_open(format!("<message>{}</message>", "<a/>".repeat(8191)).repeat(2));
    assert_eq!((outcome.stanzas().len(), outcome.events.len()), (2, 2), "each stanza is counted for itself");
}

/// Declarations of a refused stanza end with it, as do its open elements.
#[test]
fn nothing_of_a_refused_stanza_holds_for_the_next() {
    let deep = "<p:a xmlns:p='urn:p' xmlns='urn:x'><a><a><a/></a></a></p:a>";
    let outcome = read_open_within(SMALL, format!("<iq xmlns:q='urn:q'>{deep}</iq><iq/><p:iq/>"));
    assert_eq!((outcome.refused().len(), outcome.stanzas()), (1, vec![&Element::parse("<iq/>").unwrap()]));
    assert_eq!(outcome.fault, Some(Fault::Prefix));
    let outcome = read_open_within(SMALL, format!("<iq>{deep}</iq></stream:stream>"));
    assert_eq!((outcome.events.last(), outcome.fault), (Some(&StreamEvent::Closed), None));
}

#[test]
fn depth_is_refused_long_before_it_harms() {
    let nested = |levels: usize| format!("{}{}", "<a>".repeat(levels), "</a>".repeat(levels));
    refused_inside(Limits::default(), Fault::Depth, &nested(100_000));
    refused_inside(SMALL, Fault::Depth, &nested(4));
    refused_inside(SMALL, Fault::Depth, "<a><b><c><d/>text</c></b></a>text");
    let outcome = read_open_within(Limits { depth: 0, ..SMALL }, "<a id='1'/><b id='2'>text</b>");
    assert_eq!((outcome.refused().len(), outcome.fault), (2, None));
}

#[test]
fn a_start_tag_beyond_a_limit_is_skipped_too() {
    let long = "x".repeat(200);
    for stanza in [
        format!("<message to='{long}'/>"),
        format!("<message to='{long}'><body>text</body></message>"),
        format!("<{long}><a/></{long}>"),
    ] {
        assert_eq!(refused(SMALL, Fault::Bytes, &stanza).stanza, None);
    }
    // A reply finds what it needs, wherever it is.
    let attributes = |from: usize| -> String { (from..from + 60).map(|number| format!(" attribute{number}=''")).collect() };
    let (some, more) = (attributes(0), attributes(60));
    let start = format!("<p:iq{some} from='a&amp;@b' id='1' p:to='x'{more} type='get' to='c@d' xmlns:p='{}'", ns::CLIENT);
    for end in ["/>", "></p:iq>", "><body>text</body></p:iq>"] {
        let stanza = refused(Limits::default(), Fault::Attributes, &format!("{start}{end}")).stanza;
        let expected = Element::parse("<iq from='a&amp;@b' id='1' type='get' to='c@d'/>").unwrap();
        assert_eq!(stanza, Some(expected));
    }
    for (declaration, namespace) in
        [("", ns::CLIENT), (" xmlns='urn:x'", "urn:x"), (" xmlns=''", ""), (" xmlns:x='urn:x'", ns::CLIENT)]
    {
        let stanza = refused(Limits::default(), Fault::Attributes, &format!("<iq{some}{declaration}{more}/>")).stanza;
        assert_eq!(stanza.unwrap().ns(), namespace, "{declaration}");
    }
}

/// No server writes such a stanza, as it has read it before; nothing is made of it, in every split.
#[test]
fn names_in_a_refused_stanza_are_not_compared() {
    for inside in ["<a></b>", "<a b='1' b='2'/>", "<x:y/>", "&unknown;", "a & b", "]]>", "<a b=1/>", "\u{1}"] {
        refused_inside(SMALL, Fault::Depth, &format!("<a><a><a><a>{inside}</a></a></a></a>"));
    }
    refused(SMALL, Fault::Depth, "<message><a><b><c><d></a></b></c></d></presence>");
}

#[test]
fn what_xmpp_forbids_ends_the_stream_even_so() {
    for (input, fault) in [
        ("<!-- -->", Fault::Restricted),
        ("<!DOCTYPE x>", Fault::Restricted),
        ("<?x ?>", Fault::Restricted),
        ("<![INCLUDE[", Fault::Restricted),
        ("<>", Fault::NotWellFormed),
        ("a < b", Fault::NotWellFormed),
    ] {
        let outcome = read_open_within(SMALL, format!("<iq><a><b><c><d>{input}</d></c></b></a></iq><iq/>"));
        assert_eq!((outcome.events.len(), outcome.fault), (0, Some(fault)), "{input}");
    }
    // Beyond a limit, but no stanza.
    let long = "x".repeat(300);
    for (input, fault) in [
        (format!("</stream:stream{}>", " ".repeat(300)), Fault::Bytes),
        (format!("<![CDATA[{long}]]>"), Fault::Bytes),
        (format!("<!--{long}-->"), Fault::Restricted),
        (long, Fault::Format),
    ] {
        let outcome = read_open_within(SMALL, format!("{input}<iq/>"));
        assert_eq!((outcome.events.len(), outcome.fault), (0, Some(fault)));
    }
}

#[test]
fn a_refused_stanza_that_does_not_end_is_not_told() {
    for input in
        ["<iq><a><b><c><d>", "<iq><a><b><c><d>text", "<iq><a><b><c><d/></c></b></a></iq", "<iq><a><b><c><d></stream:stream>"]
    {
        let outcome = read_open_within(SMALL, input);
        assert_eq!((outcome.events.len(), outcome.fault), (0, None), "{input}");
    }
}

#[test]
fn a_stanza_without_end_ends_the_stream_at_last() {
    // The first byte that counts is the one behind the tag that is too deep.
    let (start, end) = ("<iq><a><b><c><d>", "</d></c></b></a></iq>");
    let filled = |more: usize| {
        let room = more - end.len();
        [
            "x".repeat(room),
            format!("<{}/>", "x".repeat(room - 3)),
            format!("<![CDATA[{}]]>", "x".repeat(room - 12)),
            format!("{}{}", "</a><a>".repeat(room / 7), "x".repeat(room % 7)),
        ]
    };
    for filler in filled(SMALL.skipped_bytes - 1) {
        let outcome = read_open_within(SMALL, format!("{start}{filler}{end}<iq/>"));
        assert_eq!((outcome.events.len(), outcome.fault), (2, None), "{filler}");
    }
    for filler in filled(SMALL.skipped_bytes) {
        let outcome = read_open_within(SMALL, format!("{start}{filler}{end}<iq/>"));
        assert_eq!((outcome.events.len(), outcome.fault), (0, Some(Fault::Bytes)), "{filler}");
    }
}

/// Bytes until the stream ends, of a stanza that goes on for ever.
fn bytes_until_fault(start: &str, more: &str) -> usize {
    let mut framer = Framer::default();
    let mut input = HEADER.as_bytes();
    assert!(matches!(framer.next(&mut input), Ok(Some(StreamEvent::Opened(_)))));
    assert_eq!(framer.next(&mut start.as_bytes()), Ok(None));
    let mut bytes = start.len();
    loop {
        match framer.next(&mut more.as_bytes()) {
            Ok(None) => bytes += more.len(),
            fault => {
                assert_eq!(fault, Err(Fault::Bytes));
                return bytes;
            }
        }
    }
}

#[test]
fn usual_limits_end_a_stanza_without_end_too() {
    let Limits { stanza_bytes, skipped_bytes, .. } = Limits::default();
    for (start, more) in [
        ("<message><body>", "x".repeat(8192)),
        ("<message><a b='", "x".repeat(8192)),
        ("<", "x".repeat(8192)),
        ("<message>", "<![CDATA[]] >]]>".repeat(512)),
        ("<message><a>", "<a/></a><a>".repeat(1024)),
    ] {
        let bytes = bytes_until_fault(start, &more);
        assert!((skipped_bytes - more.len()..skipped_bytes + stanza_bytes).contains(&bytes), "{start}: {bytes}");
    }
}
