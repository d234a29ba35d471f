use proptest::prelude::*;

use super::super::dialog_state::Cause;
use super::super::dialog_state::End;
use super::super::xml_body::BodyError;
use super::super::xml_body::MAX_BODY;
use super::super::xml_body::MAX_DEPTH;
use super::*;

/// All that RFC 4235 §4.1 defines, with a prefix, comments, extensions and elements out of order.
const EXAMPLE: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<!-- one call that rings, one on hold, one that was refused -->
<d:dialog-info xmlns:d="urn:ietf:params:xml:ns:dialog-info" xmlns:x="urn:x" version="7" state="partial" entity="sip:juliet@example.com">
  <d:dialog id="as7d900as8" call-id="a84b4c76e66710" local-tag="1928301774" direction="initiator" x:id="no">
    <d:state event="rejected" code="486">terminated</d:state><!-- busy -->
  </d:dialog>
  <d:dialog id="j7zgt54" call-id="ff&amp;&lt;@h" local-tag="hh76a" remote-tag="w1pzx3" direction="recipient">
    <d:remote>
      <d:target uri="sip:romeo@192.0.2.7"><d:param pname="+sip.rendering" pval="no"/><x:param pname="no" pval="no"/>
        <d:param pname="audio" pval=""/></d:target>
      <d:identity display="Romeo &amp; Sons"> sip:romeo@example.net </d:identity>
      <d:session-description type="application/sdp">v=0</d:session-description>
      <d:cseq>2</d:cseq>
    </d:remote>
    <d:route-set><d:hop>sip:proxy@example.net;lr</d:hop></d:route-set>
    <d:local><d:identity>sip:juliet@example.com</d:identity><d:target uri="sip:juliet@192.0.2.3"/></d:local>
    <d:referred-by display="Nurse">sip:nurse@example.com</d:referred-by>
    <d:replaces call-id="bb" local-tag="l" remote-tag="r"/>
    <x:state>trying</x:state>
    <d:duration>274</d:duration>
    <d:state> Confirmed </d:state>
  </d:dialog>
  <d:dialog id="3"><d:state>early</d:state></d:dialog>
  <x:dialog id="4"><d:state>early</d:state></x:dialog>
</d:dialog-info>
"#;

fn address(uri: &str, display: Option<&str>) -> NameAddress {
    NameAddress { uri: uri.into(), display: display.map(str::to_owned) }
}

fn parameter(name: &str, value: &str) -> Parameter {
    Parameter { name: name.into(), value: value.into() }
}

fn terminated(cause: Option<Cause>, code: Option<u16>) -> DialogState {
    DialogState::Terminated(End::new(cause, code))
}

/// The body with these attributes of the root and these contents.
fn document(attributes: &str, dialogs: &str) -> String {
    format!("<dialog-info xmlns='urn:ietf:params:xml:ns:dialog-info' {attributes}>{dialogs}</dialog-info>")
}

/// What a body that is read has as its only dialog.
fn dialog(written: &str) -> Dialog {
    let mut document = Document::parse(document("", written).as_bytes()).unwrap();
    assert_eq!(document.dialogs.len(), 1);
    document.dialogs.remove(0)
}

#[test]
fn the_example_is_read() {
    let refused = Dialog {
        call_id: Some("a84b4c76e66710".into()),
        local_tag: Some("1928301774".into()),
        direction: Some(Direction::Initiator),
        ..Dialog::new("as7d900as8".into(), terminated(Some(Cause::Rejected), Some(486)))
    };
    let parameters = vec![parameter("+sip.rendering", "no"), parameter("audio", "")];
    let held = Dialog {
        call_id: Some("ff&<@h".into()),
        local_tag: Some("hh76a".into()),
        remote_tag: Some("w1pzx3".into()),
        direction: Some(Direction::Recipient),
        duration: Some(274),
        replaces: Some(Replaces { call_id: "bb".into(), local_tag: "l".into(), remote_tag: "r".into() }),
        referred_by: Some(address("sip:nurse@example.com", Some("Nurse"))),
        local: Some(Participant {
            identity: Some(address("sip:juliet@example.com", None)),
            target: Some(Target { uri: "sip:juliet@192.0.2.3".into(), parameters: Vec::new() }),
            cseq: None,
        }),
        remote: Some(Participant {
            identity: Some(address("sip:romeo@example.net", Some("Romeo & Sons"))),
            target: Some(Target { uri: "sip:romeo@192.0.2.7".into(), parameters }),
            cseq: Some(2),
        }),
        ..Dialog::new("j7zgt54".into(), DialogState::Confirmed)
    };
    let expected = Document {
        version: 7,
        state: State::Partial,
        entity: "sip:juliet@example.com".into(),
        dialogs: vec![refused, held, Dialog::new("3".into(), DialogState::Early)],
    };
    assert_eq!(Document::parse(EXAMPLE.as_bytes()), Ok(expected));
}

#[test]
fn every_truncation_is_an_error() {
    for end in 0..EXAMPLE.trim_end().len() {
        assert!(Document::parse(&EXAMPLE.as_bytes()[..end]).is_err(), "cut at {end}");
    }
}

#[test]
fn what_phones_leave_out_is_no_error() {
    let read = |body: &str| Document::parse(body.as_bytes()).unwrap();
    let empty = Document { version: 0, state: State::Full, entity: String::new(), dialogs: Vec::new() };
    assert_eq!(read(&document("", "")), empty);
    assert_eq!(read(&document("version='' state='' entity=''", "")), empty);

    let bare = Dialog::new("a".into(), DialogState::Early);
    assert_eq!(dialog("<dialog id='a' call-id='' local-tag='' remote-tag=''><state>early</state></dialog>"), bare);
    // One tag of two: nobody could tell which dialog that was.
    assert_eq!(dialog("<dialog id='a'><state>early</state><replaces call-id='b' local-tag='c'/></dialog>"), bare);

    let written = "<remote><identity display='2609 Joe'></identity><target><param pname='a'/><param pval='b'/></target></remote>";
    let remote = dialog(&format!("<dialog id='a'>{written}<state>early</state></dialog>")).remote.unwrap();
    assert_eq!(remote.identity, Some(address("", Some("2609 Joe"))));
    assert_eq!(remote.target, Some(Target { uri: String::new(), parameters: vec![parameter("a", "")] }));
}

#[test]
fn what_is_optional_and_wrong_counts_as_missing() {
    let written = "<dialog id='a' direction='incoming'><duration>-1</duration><state event='bored' code='99'>terminated</state>\
                   <local><cseq>many</cseq></local></dialog>";
    let local = Some(Participant::default());
    assert_eq!(dialog(written), Dialog { local, ..Dialog::new("a".into(), terminated(None, None)) });
    // A dialog that goes on has no end.
    let written = "<dialog id='a'><state event='rejected' code='180'>early</state></dialog>";
    assert_eq!(dialog(written).state, DialogState::Early);
}

#[test]
fn every_state_and_cause_of_the_schema_is_read() {
    for (written, state) in [
        ("<state>trying</state>", DialogState::Trying),
        ("<state>proceeding</state>", DialogState::Proceeding),
        ("<state>early</state>", DialogState::Early),
        ("<state>\n\tCONFIRMED</state>", DialogState::Confirmed),
        ("<state>terminated</state>", terminated(None, None)),
        ("<state event='cancelled'>terminated</state>", terminated(Some(Cause::Cancelled), None)),
        ("<state event='rejected' code='603'>terminated</state>", terminated(Some(Cause::Rejected), Some(603))),
        ("<state event='replaced'>terminated</state>", terminated(Some(Cause::Replaced), None)),
        ("<state event='local-bye'>terminated</state>", terminated(Some(Cause::LocalBye), None)),
        ("<state event='remote-bye'>terminated</state>", terminated(Some(Cause::RemoteBye), None)),
        ("<state event='error' code='481'>terminated</state>", terminated(Some(Cause::Error), Some(481))),
        ("<state event='timeout'>terminated</state>", terminated(Some(Cause::Timeout), None)),
    ] {
        assert_eq!(dialog(&format!("<dialog id='a'>{written}</dialog>")).state, state, "{written}");
    }
}

#[test]
fn an_id_twice_is_one_dialog_that_only_moves_forward() {
    for (first, second, stands) in
        [("confirmed", "early", "confirmed"), ("early", "confirmed", "confirmed"), ("terminated", "trying", "terminated")]
    {
        let written = format!("<dialog id='a'><state>{first}</state></dialog><dialog id='a'><state>{second}</state></dialog>");
        assert_eq!(dialog(&written).state.name(), stands, "{first} {second}");
    }
    // What was said last counts where both know as much.
    let written =
        "<dialog id='a' call-id='b'><state>early</state></dialog><dialog id='a' call-id='c'><state>early</state></dialog>";
    assert_eq!(dialog(written).call_id.as_deref(), Some("c"));
}

#[test]
fn hostile_bodies_are_refused() {
    let one = "<dialog id='a'><state>early</state></dialog>";
    let many = |count: usize| (0..count).map(|id| one.replace("'a'", &format!("'{id}'"))).collect::<String>();
    for (body, error) in [
        (String::new(), BodyError::Truncated),
        ("hello".into(), BodyError::Malformed),
        (format!("<dialog-info>{one}</dialog-info>"), BodyError::Root),
        ("<dialog-info xmlns='urn:x'/>".into(), BodyError::Root),
        ("<presence xmlns='urn:ietf:params:xml:ns:dialog-info'/>".into(), BodyError::Root),
        (format!("<!DOCTYPE x [<!ENTITY a 'b'>]>{}", document("", one)), BodyError::Doctype),
        (document("version='-1'", ""), BodyError::Attribute),
        (document("version='4294967296'", ""), BodyError::Attribute),
        (document("state='half'", ""), BodyError::Attribute),
        (document("", "<dialog><state>early</state></dialog>"), BodyError::Attribute),
        (document("", "<dialog id=''><state>early</state></dialog>"), BodyError::Attribute),
        (document("", &format!("<dialog id='b'/>{one}")), BodyError::Element),
        (document("", "<dialog id='a'><state/></dialog>"), BodyError::Element),
        (document("", "<dialog id='a'><state>held</state></dialog>"), BodyError::Element),
        (document("", &one.replace("early", "early&lol;")), BodyError::Malformed),
        (document("", &one.replace("'a'", "'a&#1;'")), BodyError::Malformed),
        (document("", "<x:dialog id='a'/>"), BodyError::Malformed),
        (document("", "<dialog id='a'></dialogue>"), BodyError::Malformed),
        (document("", &"<a>".repeat(MAX_DEPTH)), BodyError::TooDeep),
        (document("", &format!("<dialog id='a'>{}", "<local>".repeat(9000))), BodyError::TooDeep),
        (document("", &many(MAX_DIALOGS + 1)), BodyError::TooMany),
        (document("", &many(10_000)), BodyError::TooLong),
        (document("", &format!("<!--{}-->", "x".repeat(1 << 20))), BodyError::TooLong),
        (document("", &one.replace("'a'", &format!("'{}'", "a".repeat(MAX_BODY)))), BodyError::TooLong),
    ] {
        assert_eq!(Document::parse(body.as_bytes()), Err(error), "{body:.120}");
    }
    let latin_1 = document("", &one.replace("'a'", "'\u{e9}'"));
    let latin_1: Vec<u8> = latin_1.chars().filter_map(|c| u8::try_from(c).ok()).collect();
    assert_eq!(Document::parse(&latin_1), Err(BodyError::Encoding));
    let utf_16: Vec<u8> = EXAMPLE.encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert!(Document::parse(&utf_16).is_err());
    assert_eq!(Document::parse(document("", &many(MAX_DIALOGS)).as_bytes()).unwrap().dialogs.len(), MAX_DIALOGS);
}

#[test]
fn parameters_beyond_the_limit_are_passed_over() {
    let parameters: String = (0..=MAX_PARAMETERS).map(|i| format!("<param pname='{i}' pval=''/>")).collect();
    let written = format!("<dialog id='a'><state>early</state><local><target uri='b'>{parameters}</target></local></dialog>");
    assert_eq!(dialog(&written).local.unwrap().target.unwrap().parameters.len(), MAX_PARAMETERS);
}

#[test]
fn the_order_of_the_schema_is_written() {
    let mut document = Document::parse(EXAMPLE.as_bytes()).unwrap();
    document.dialogs.truncate(2);
    assert_eq!(
        document.to_xml(),
        "<?xml version='1.0' encoding='UTF-8'?>\
         <dialog-info xmlns='urn:ietf:params:xml:ns:dialog-info' version='7' state='partial' entity='sip:juliet@example.com'>\
         <dialog id='as7d900as8' call-id='a84b4c76e66710' local-tag='1928301774' direction='initiator'>\
         <state event='rejected' code='486'>terminated</state></dialog>\
         <dialog id='j7zgt54' call-id='ff&amp;&lt;@h' local-tag='hh76a' remote-tag='w1pzx3' direction='recipient'>\
         <state>confirmed</state><duration>274</duration><replaces call-id='bb' local-tag='l' remote-tag='r'/>\
         <referred-by display='Nurse'>sip:nurse@example.com</referred-by>\
         <local><identity>sip:juliet@example.com</identity><target uri='sip:juliet@192.0.2.3'/></local>\
         <remote><identity display='Romeo &amp; Sons'>sip:romeo@example.net</identity>\
         <target uri='sip:romeo@192.0.2.7'><param pname='+sip.rendering' pval='no'/><param pname='audio' pval=''/></target>\
         <cseq>2</cseq></remote></dialog></dialog-info>"
    );
}

/// Text with all that has to be escaped. What is read is never an empty attribute.
const TEXT: &str = "[a-zA-Z0-9@:;=<>&'\"é☺ \r\n\t\u{85}\u{2028}]{1,12}";
/// A URI loses the spaces around it.
const URI: &str = "(sip:[a-z<&'\"]{1,9}@[a-z]{1,9};gr=[a-z>]{0,3}é)?";

fn states() -> impl Strategy<Value = DialogState> {
    let causes =
        [Cause::LocalBye, Cause::RemoteBye, Cause::Rejected, Cause::Cancelled, Cause::Error, Cause::Timeout, Cause::Replaced];
    let cause = proptest::option::of(proptest::sample::select(causes.to_vec()));
    prop_oneof![
        Just(DialogState::Trying),
        Just(DialogState::Proceeding),
        Just(DialogState::Early),
        Just(DialogState::Confirmed),
        (cause, proptest::option::of(100u16..=699)).prop_map(|(cause, code)| terminated(cause, code)),
    ]
}

fn addresses() -> impl Strategy<Value = NameAddress> {
    (URI, proptest::option::of(TEXT)).prop_map(|(uri, display)| NameAddress { uri, display })
}

fn participants() -> impl Strategy<Value = Participant> {
    let parameters = (TEXT, "[a-z ]{0,3}").prop_map(|(name, value)| Parameter { name, value });
    let targets = (URI, proptest::collection::vec(parameters, 0..3)).prop_map(|(uri, parameters)| Target { uri, parameters });
    (proptest::option::of(addresses()), proptest::option::of(targets), any::<Option<u32>>())
        .prop_map(|(identity, target, cseq)| Participant { identity, target, cseq })
}

fn dialogs() -> impl Strategy<Value = Dialog> {
    let text = || proptest::option::of(TEXT);
    let direction = proptest::option::of(proptest::sample::select(Direction::ALL.to_vec()));
    let replaces = (TEXT, TEXT, TEXT).prop_map(|(call_id, local_tag, remote_tag)| Replaces { call_id, local_tag, remote_tag });
    let sides = (proptest::option::of(participants()), proptest::option::of(participants()));
    let others = (proptest::option::of(replaces), proptest::option::of(addresses()), any::<Option<u32>>());
    (states(), (text(), text(), text()), direction, others, sides).prop_map(|(state, ids, direction, others, sides)| Dialog {
        id: String::new(),
        call_id: ids.0,
        local_tag: ids.1,
        remote_tag: ids.2,
        direction,
        state,
        duration: others.2,
        replaces: others.0,
        referred_by: others.1,
        local: sides.0,
        remote: sides.1,
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        version: u32,
        state in proptest::sample::select(State::ALL.to_vec()),
        entity in TEXT,
        dialogs in proptest::collection::hash_map(TEXT, dialogs(), 0..4),
    ) {
        let dialogs = dialogs.into_iter().map(|(id, dialog)| Dialog { id, ..dialog }).collect();
        let document = Document { version, state, entity, dialogs };
        prop_assert_eq!(Document::parse(document.to_xml().as_bytes()), Ok(document));
    }

    #[test]
    fn no_body_makes_it_panic(noise in proptest::collection::vec(any::<u8>(), 0..40), at in 0usize..2000) {
        let mut body = EXAMPLE.as_bytes().to_vec();
        let at = at.min(body.len());
        body.splice(at..at, noise);
        let _ = Document::parse(&body);
    }
}
