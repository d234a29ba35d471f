use proptest::prelude::*;

use super::super::xml_body::BodyError;
use super::super::xml_body::MAX_BODY;
use super::super::xml_body::MAX_DEPTH;
use super::*;

/// As presence servers send it: prefixes, a comment, a person, extensions that nobody knows.
const EXAMPLE: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<!-- two devices -->
<p:presence xmlns:p="urn:ietf:params:xml:ns:pidf" xmlns:dm="urn:ietf:params:xml:ns:pidf:data-model"
    xmlns:r="urn:ietf:params:xml:ns:pidf:rpid" xmlns:c="urn:ietf:params:xml:ns:pidf:cipid" entity="pres:juliet@example.com">
  <p:tuple id="ID-balcony">
    <p:status><p:basic>open</p:basic><show xmlns="jabber:client">away</show><unknown xmlns="urn:x"><basic>closed</basic></unknown></p:status>
    <dm:deviceID>urn:device:1</dm:deviceID>
    <p:contact priority="0.8">sip:juliet@example.com;gr=balcony</p:contact>
    <p:note xml:lang="en">a &amp; b; &#x263A; <![CDATA[<c>]]></p:note>
    <p:timestamp>2026-11-21T03:00:00Z</p:timestamp>
  </p:tuple>
  <p:tuple id="t2"><p:status><p:basic> Closed </p:basic></p:status></p:tuple>
  <p:note>on the whole</p:note>
  <dm:person id="p1"><r:activities><r:note>x</r:note><r:on-the-phone/><r:busy/><r:levitating/></r:activities><dm:note>on me</dm:note><c:display-name> Juliet Capulet </c:display-name></dm:person>
</p:presence>
"#;

fn note(language: Option<&str>, text: &str) -> Note {
    Note { language: language.map(str::to_owned), text: text.into() }
}

#[test]
fn the_example_is_read() {
    let document = Document::parse(EXAMPLE.as_bytes()).unwrap();
    let balcony = Tuple {
        id: "ID-balcony".into(),
        basic: Some(Basic::Open),
        show: Some(Show::Away),
        contact: Some(Contact { uri: "sip:juliet@example.com;gr=balcony".into(), priority: Some(800) }),
        notes: vec![note(Some("en"), "a & b; \u{263a} <c>")],
        timestamp: date_time("2026-11-21T03:00:00Z"),
        ..Tuple::default()
    };
    let second = Tuple { id: "t2".into(), basic: Some(Basic::Closed), ..Tuple::default() };
    assert_eq!(
        document,
        Document {
            entity: "pres:juliet@example.com".into(),
            tuples: vec![balcony, second],
            display_name: Some("Juliet Capulet".into()),
            activities: vec![Activity::OnThePhone, Activity::Busy],
            user_input: None,
            notes: vec![note(None, "on the whole"), note(None, "on me")],
        }
    );
}

#[test]
fn a_person_without_name_is_called_as_its_device_says() {
    let named = |person: &str, tuple: &str| {
        let cipid = "xmlns:c='urn:ietf:params:xml:ns:pidf:cipid'";
        let person = format!("<p:person xmlns:p='urn:ietf:params:xml:ns:pidf:data-model'>{person}</p:person>");
        let tuples = format!("<tuple id='a'/><tuple id='b'>{tuple}</tuple>");
        let body = format!("<presence xmlns='urn:ietf:params:xml:ns:pidf' {cipid}>{tuples}{person}</presence>");
        Document::parse(body.as_bytes()).unwrap().display_name
    };
    let element = |name: &str| format!("<c:display-name>{name}</c:display-name>");
    assert_eq!(named(&element("Juliet"), &element("phone")).as_deref(), Some("Juliet"));
    assert_eq!(named("", &element("phone")).as_deref(), Some("phone"));
    assert_eq!(named(&element(" "), ""), None);
    assert_eq!(named(&element(&"n".repeat(MAX_NAME + 1)), ""), None);
}

/// The form of the example in RFC 4480 §5, with a tuple and a person that speak for themselves.
#[test]
fn user_input_is_that_of_the_tuple_or_its_device_or_the_person() {
    let idle = |time: &str| format!("<r:user-input idle-threshold='600' last-input='{time}'>idle</r:user-input>");
    let body = format!(
        "<presence xmlns='urn:ietf:params:xml:ns:pidf' xmlns:dm='urn:ietf:params:xml:ns:pidf:data-model' \
         xmlns:r='urn:ietf:params:xml:ns:pidf:rpid' entity='pres:someone@example.com'>\
         <tuple id='a'><dm:deviceID>urn:device:1</dm:deviceID></tuple>\
         <tuple id='b'><dm:deviceID>urn:device:1</dm:deviceID><r:user-input> active </r:user-input></tuple>\
         <tuple id='c'><dm:deviceID>urn:device:2</dm:deviceID><r:user-input>asleep</r:user-input></tuple>\
         <tuple id='d'/>\
         <dm:device id='x'>{}</dm:device>\
         <dm:device id='y'>{}<dm:deviceID> urn:device:1 </dm:deviceID><dm:note>on the desk</dm:note></dm:device>\
         <dm:person id='z'>{}</dm:person></presence>",
        idle("2001-01-01T00:00:00Z"),
        idle("2004-10-21T13:20:00.7-05:00"),
        idle("yesterday"),
    );
    let document = Document::parse(body.as_bytes()).unwrap();
    let since = date_time("2004-10-21T18:20:00.7Z");
    let inputs: Vec<_> = document.tuples.iter().map(|tuple| tuple.user_input).collect();
    assert_eq!(inputs, [Some(UserInput::Idle { since }), Some(UserInput::Active), None, None]);
    assert_eq!(document.user_input, Some(UserInput::Idle { since: None }));
}

#[test]
fn a_time_needs_its_offset() {
    for (written, read) in [
        ("2026-11-21T03:00:00Z", Some("2026-11-21T03:00:00Z")),
        (" 2026-11-21T03:00:00.25+01:00\n", Some("2026-11-21T02:00:00.25Z")),
        ("2026-11-21T03:00:00", None),
        ("2026-11-21", None),
        ("-000001-11-21T03:00:00Z", None),
        ("0000-01-01T00:00:00+01:00", None),
        ("99999-11-21T03:00:00Z", None),
        ("soon", None),
        ("", None),
    ] {
        assert_eq!(date_time(written).map(|time| time.to_string()).as_deref(), read, "{written}");
    }
}

#[test]
fn notes_are_kept_as_far_as_there_is_room() {
    let body = |text: &str| format!("<presence xmlns='urn:ietf:params:xml:ns:pidf'><tuple id='a'>{text}</tuple></presence>");
    let notes = |text: &str| Document::parse(body(text).as_bytes()).map(|mut document| document.tuples.remove(0).notes);
    let written = |length: usize| format!("<note>{}</note>", "n".repeat(length));
    assert_eq!(notes(&written(MAX_NOTE)).unwrap().len(), 1);
    // The rest of the tuple counts.
    assert_eq!(notes(&format!("{}<note>short</note>", written(MAX_NOTE + 1))), Ok(vec![note(None, "short")]));
    assert_eq!(notes(&written(1).repeat(MAX_NOTES + 1)).unwrap().len(), MAX_NOTES);
    assert_eq!(notes(&written(1 << 20)), Err(BodyError::TooLong));
}

#[test]
fn every_truncation_is_an_error() {
    let end_of_root = EXAMPLE.trim_end().len();
    for end in 0..end_of_root {
        assert!(Document::parse(&EXAMPLE.as_bytes()[..end]).is_err(), "cut at {end}");
    }
}

#[test]
fn activities_of_the_drafts_are_read() {
    let body = "<presence xmlns='urn:ietf:params:xml:ns:cpim-pidf' entity='sip:a@b'><tuple id='x'><status><basic>open</basic>\
                <es:activities xmlns:es='urn:ietf:params:xml:ns:pidf:status:rpid-status'><es:activity>on-the-phone</es:activity>\
                </es:activities></status></tuple></presence>";
    let document = Document::parse(body.as_bytes()).unwrap();
    assert_eq!(document.tuples[0].activities, [Activity::OnThePhone]);
}

#[test]
fn the_status_extension_of_blink_is_read() {
    let body = "<presence xmlns='urn:ietf:params:xml:ns:pidf' xmlns:agp='urn:ag-projects:xml:ns:pidf' entity='sip:a@b'>\
                <tuple id='x'><status><basic>open</basic><agp:extended>extended-away</agp:extended></status></tuple></presence>";
    assert_eq!(Document::parse(body.as_bytes()).unwrap().tuples[0].extended, Some(Extended::ExtendedAway));
}

#[test]
fn an_element_of_another_namespace_is_not_taken_for_ours() {
    let body = "<presence xmlns='urn:ietf:params:xml:ns:pidf' entity='sip:a@b'><tuple id='x'><status><basic>open</basic>\
                <show>dnd</show><x:basic xmlns:x='urn:x'>closed</x:basic></status></tuple></presence>";
    let tuple = &Document::parse(body.as_bytes()).unwrap().tuples[0];
    assert_eq!((tuple.basic, tuple.show), (Some(Basic::Open), None));
}

#[test]
fn hostile_bodies_are_refused() {
    let root = |inside: &str| format!("<presence xmlns='urn:ietf:params:xml:ns:pidf' entity='a'>{inside}</presence>");
    let long = "<!---->".repeat(MAX_BODY / 7 + 1);
    for (body, error) in [
        (String::new(), BodyError::Truncated),
        ("hello".into(), BodyError::Malformed),
        ("<presence/>".into(), BodyError::Root),
        (format!("<!DOCTYPE x [<!ENTITY a 'b'>]>{}", root("")), BodyError::Doctype),
        (root("<note>&lol;</note>"), BodyError::Malformed),
        (root("<note>&#0;</note>"), BodyError::Malformed),
        (root("<note>a & b</note>"), BodyError::Malformed),
        (root("<a></b>"), BodyError::Malformed),
        (root("<x:tuple/>"), BodyError::Malformed),
        (root("<tuple id='a'/>").replace("'a'/", "\"a'/"), BodyError::Malformed),
        (root("<x:a xmlns:x='urn:x'/><x:b/>"), BodyError::Malformed),
        (root(&"<a>".repeat(MAX_DEPTH)), BodyError::TooDeep),
        (root(&format!("<a {}/>", (0..70).map(|i| format!("xmlns:x{i}='' ")).collect::<String>())), BodyError::TooMany),
        (root(&"<tuple id='a'/>".repeat(MAX_TUPLES + 1)), BodyError::TooMany),
        (root(&long), BodyError::TooLong),
    ] {
        assert_eq!(Document::parse(body.as_bytes()), Err(error), "{:.80}", body);
    }
    assert_eq!(Document::parse(b"<presence>\xff</presence>"), Err(BodyError::Encoding));
}

#[test]
fn of_thousands_of_attributes_none_may_be_there_twice() {
    let attributes: String = (0..7000).map(|i| format!(" a{i}=''")).collect();
    let body = |more: &str| {
        format!("<presence xmlns='urn:ietf:params:xml:ns:pidf' entity='x'><tuple{attributes} id='t'{more}/></presence>")
    };
    assert_eq!(Document::parse(body("").as_bytes()).unwrap().tuples[0].id, "t");
    assert_eq!(Document::parse(body(" a0=''").as_bytes()), Err(BodyError::Malformed));
}

#[test]
fn what_is_not_well_formed_is_refused_wherever_it_stands() {
    let root = |inside: &str| format!("<presence xmlns='urn:ietf:params:xml:ns:pidf' entity='a'>{inside}</presence>");
    for inside in [
        "<tuple id='a' id='b'/>",
        "<tuple id='a'class='b'/>",
        "<tuple id=a/>",
        "<tuple id/>",
        "<tuple id='<'/>",
        "<tuple id='&lol;'/>",
        "<tuple id='a & b'/>",
        "<tuple 1d='a'/>",
        "<1tuple/>",
        "<note>a ]]&gt; b ]]> c</note>",
        "<!-- a -- b -->",
        "<?xml version='1.0'?>",
        "<note>&#xFFFF;</note>",
    ] {
        // In what is passed over, too.
        for body in [root(inside), root(&format!("<x>{inside}</x>"))] {
            assert_eq!(Document::parse(body.as_bytes()), Err(BodyError::Malformed), "{body}");
        }
    }
    for after in ["x", "<presence/>", "<!-- a --> x", "<![CDATA[]]>", "&amp;", "<?xml version='1.0'?>", "</presence>"] {
        assert_eq!(Document::parse((root("") + after).as_bytes()), Err(BodyError::Malformed), "{after}");
    }
    for (before, after) in [("\u{feff}<?xml version='1.0'?>\r\n", "\r\n"), ("<!-- a --> <?b c?>", " <!-- d --><?e?>\n")] {
        assert!(
            Document::parse([before, &root("<x a='1' b:a='2' c=\"'\"/>"), after].concat().as_bytes()).is_ok(),
            "{before}{after}"
        );
    }
}

#[test]
fn priority_takes_what_the_schema_allows() {
    for (written, priority) in [
        ("0", Some(0)),
        ("1", Some(1000)),
        ("1.000", Some(1000)),
        ("0.5", Some(500)),
        ("0.0079", Some(7)),
        ("1.1", None),
        ("2", None),
        ("-0.5", None),
        ("x", None),
        ("", None),
        ("0.x", None),
    ] {
        let body = format!(
            "<presence xmlns='urn:ietf:params:xml:ns:pidf'><tuple id='a'><contact priority='{written}'>b</contact></tuple></presence>"
        );
        assert_eq!(Document::parse(body.as_bytes()).unwrap().tuples[0].contact.as_ref().unwrap().priority, priority, "{written}");
    }
}

fn notes() -> impl Strategy<Value = Vec<Note>> {
    let note = (proptest::option::of("[a-z]{2}(-[A-Z]{2})?"), "[ -~é☺\r\n\t]{1,20}");
    proptest::collection::vec(note.prop_map(|(language, text)| Note { language, text }), 0..3)
}

fn times() -> impl Strategy<Value = Option<Timestamp>> {
    proptest::option::of((0i64..4_000_000_000).prop_map(|seconds| Timestamp::from_second(seconds).unwrap()))
}

fn inputs() -> impl Strategy<Value = Option<UserInput>> {
    prop_oneof![Just(None), Just(Some(UserInput::Active)), times().prop_map(|since| Some(UserInput::Idle { since }))]
}

fn tuples() -> impl Strategy<Value = Tuple> {
    let extended = [Extended::Available, Extended::Away, Extended::ExtendedAway, Extended::Busy, Extended::Offline];
    let extended = proptest::option::of(proptest::sample::select(extended.to_vec()));
    let show = proptest::option::of(prop_oneof![Just(Show::Away), Just(Show::Chat), Just(Show::Dnd), Just(Show::Xa)]);
    let states = (show, any::<bool>(), extended, inputs(), times());
    ("ID-[a-z<&'\"]{0,9}", states, proptest::option::of(0u16..=1000), notes()).prop_map(
        |(id, (show, open, extended, user_input, timestamp), priority, notes)| Tuple {
            id,
            extended,
            user_input,
            timestamp,
            basic: Some(if open { Basic::Open } else { Basic::Closed }),
            show,
            contact: Some(Contact { uri: "sip:a&b@c;gr=<>".into(), priority }),
            notes,
            activities: vec![Activity::InTransit],
            ..Tuple::default()
        },
    )
}

proptest! {
    #[test]
    fn what_is_written_is_read(tuples in proptest::collection::vec(tuples(), 0..4), user_input in inputs(), notes in notes()) {
        let activities = vec![Activity::Away, Activity::Tv];
        let document = Document { entity: "sip:x'y@z".into(), tuples, display_name: None, activities, user_input, notes };
        prop_assert_eq!(Document::parse(document.to_xml().as_bytes()), Ok(document));
    }

    #[test]
    fn no_body_makes_it_panic(noise in proptest::collection::vec(any::<u8>(), 0..40), at in 0usize..1000) {
        let mut body = EXAMPLE.as_bytes().to_vec();
        let at = at.min(body.len());
        body.splice(at..at, noise);
        let _ = Document::parse(&body);
    }
}
