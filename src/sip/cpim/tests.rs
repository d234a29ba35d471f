use std::time::Duration;

use proptest::prelude::*;

use super::*;

/// With all that RFC 3862 defines, after its own example.
const EXAMPLE: &str = "From: MR SANDERS <im:piglet@100akerwood.com>\r\n\
    To: \"Depressed <\\\"Donkey\\\">\" <im:eeyore@100akerwood.com>\r\n\
    DateTime: 2000-12-13T13:40:00-08:00\r\n\
    Subject: the weather will be fine today\r\n\
    Subject:;lang=fr beau temps pr\u{e9}vu pour aujourd'hui\r\n\
    NS: MyFeatures <mid:MessageFeatures@id.example.com>\r\n\
    MyFeatures.WackyMessageOption: Use-silly-font\r\n\
    NS: imdn <urn:ietf:params:imdn>\r\n\
    Require: imdn.Message-ID,Subject\r\n\
    imdn.Message-ID: 34jk324j\r\n\
    \r\n\
    Content-type: text/xml; charset=utf-8\r\n\
    Content-ID: <1234567890@example.com>\r\n\
    \r\n\
    <body>\r\nHere is the text of my message.\r\n</body>\r\n";

fn parse(body: &str) -> Result<Message<'_>, CpimError> {
    Message::parse(body.as_bytes())
}

/// The value of the first Subject.
fn subject(line: &str) -> Option<String> {
    let body = format!("{line}\r\n\r\n\r\n");
    parse(&body).unwrap().value(Namespace::Cpim, "Subject").map(str::to_owned)
}

#[test]
fn the_example_is_read() {
    let message = parse(EXAMPLE).unwrap();
    let value = |name| message.value(Namespace::Cpim, name);
    assert_eq!(value("From").and_then(uri), Some("im:piglet@100akerwood.com"));
    assert_eq!(value("To").and_then(uri), Some("im:eeyore@100akerwood.com"));
    assert_eq!(value("To"), Some("\"Depressed <\"Donkey\">\" <im:eeyore@100akerwood.com>"));
    assert_eq!(value("DateTime"), Some("2000-12-13T13:40:00-08:00"));
    let subjects: Vec<_> =
        message.all(Namespace::Cpim, "Subject").map(|header| (header.language.as_deref(), &*header.value)).collect();
    let french = "beau temps pr\u{e9}vu pour aujourd'hui";
    assert_eq!(subjects, [(None, "the weather will be fine today"), (Some("fr"), french)]);
    assert_eq!(message.value(Namespace::Imdn, "Message-ID"), Some("34jk324j"));
    assert_eq!(message.headers.len(), 6, "what nobody knows is passed over: {:?}", message.headers);
    assert_eq!(message.content.content_type.as_deref(), Some("text/xml; charset=utf-8"));
    assert_eq!(message.content.body.as_ref(), b"<body>\r\nHere is the text of my message.\r\n</body>\r\n");
}

#[test]
fn what_is_written_is_read_again() {
    let message = parse(EXAMPLE).unwrap();
    let written = message.to_bytes();
    assert_eq!(Message::parse(&written), Ok(message));
    let text = String::from_utf8(written).unwrap();
    assert!(
        text.contains("\r\nNS: imdn <urn:ietf:params:imdn>\r\nimdn.Message-ID: 34jk324j\r\n\r\nContent-Type: text/xml"),
        "{text}"
    );
}

#[test]
fn nothing_in_a_value_ends_its_line() {
    let mut message = Message::default();
    message.push(Namespace::Cpim, "Subject", "a\\b\r\n\r\nX: y\t\u{8}\0\u{85}\u{2028}'\"");
    message.push(Namespace::Imdn, "Message-ID", " \r\n");
    let written = message.to_bytes();
    let expected = "Subject: a\\\\b\\r\\n\\r\\nX: y\\t\\b\\u0000\\u0085\u{2028}'\"\r\n\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(String::from_utf8(written.clone()).unwrap(), expected);
    assert_eq!(Message::parse(&written), Ok(message));
}

#[test]
fn escapes_are_what_they_stand_for() {
    for (line, text) in [
        (r#"Subject: \"caf\u00E9\" \'\\\'"#, Some("\"caf\u{e9}\" '\\'")),
        (r"Subject: one\r\ntwo\tthree\b", Some("one\r\ntwo\tthree\u{8}")),
        (r"Subject: \ud83d\ude00", Some("\u{fffd}\u{fffd}")),
        // Forgotten to double.
        (r"Subject: C:\Music \u00e", Some(r"C:\Music \u00e")),
        (r"Subject: \u00\u00e9", Some("\\u00\u{e9}")),
        (r"Subject: \", Some(r"\")),
        (r"Subject: \u0020", None),
        ("Subject:", None),
        ("Subject:;x=\"a;b \\\" c\";lang=de;y=z  Wetter ", Some("Wetter")),
        ("Subject:;lang", None),
        ("subject: case matters", None),
        ("X.Subject: of nobody", None),
    ] {
        assert_eq!(subject(line).as_deref(), text, "{line}");
    }
}

#[test]
fn a_prefix_means_what_was_said_last() {
    let imdn = |lines: &str| {
        let body = format!("{lines}\r\n\r\n\r\n");
        parse(&body).unwrap().value(Namespace::Imdn, "Message-ID").map(str::to_owned)
    };
    for (lines, id) in [
        ("NS: imdn <urn:ietf:params:imdn>\r\nimdn.Message-ID: 1", Some("1")),
        ("NS: x <urn:ietf:params:imdn>\r\nx.Message-ID: 1", Some("1")),
        ("NS: <urn:ietf:params:imdn>\r\nMessage-ID: 1", Some("1")),
        ("NS: c <urn:ietf:params:cpim-headers:>\r\nc.NS: y <urn:ietf:params:imdn>\r\ny.Message-ID: 1", Some("1")),
        ("NS: <urn:ietf:params:imdn>\r\n.Message-ID: 1\r\nimdn..Message-ID: 1\r\nimdn.: 1", None),
        ("imdn.Message-ID: 1\r\nNS: imdn <urn:ietf:params:imdn>", None),
        ("NS: imdn <urn:ietf:params:imdn>\r\nNS: imdn <urn:other>\r\nimdn.Message-ID: 1", None),
        ("NS: imdn <urn:ietf:params:IMDN>\r\nimdn.Message-ID: 1", None),
        ("NS: imdn <urn:ietf:params:imdn>\r\nIMDN.Message-ID: 1", None),
        ("Message-ID: 1", None),
    ] {
        assert_eq!(imdn(lines).as_deref(), id, "{lines}");
    }
    let core =
        parse("NS: c <urn:ietf:params:cpim-headers:>\r\nc.Content-Type: x\r\nc.Whatever: y\r\nWhatever: z\r\n\r\n\r\n").unwrap();
    assert_eq!(core, Message::default(), "nobody has defined these");
    assert_eq!(
        subject("NS: <urn:other>\r\nNS: c <urn:ietf:params:cpim-headers:>\r\nSubject: a\r\nc.Subject: b").as_deref(),
        Some("b")
    );
}

/// Seen in the field.
#[test]
fn content_headers_without_an_empty_line_before_them_are_found() {
    let usual = parse("NS: imdn <urn:ietf:params:imdn>\r\nimdn.Message-ID: 1\r\n\r\nContent-Type: text/plain\r\n\r\nHi").unwrap();
    for body in [
        "NS: imdn <urn:ietf:params:imdn>\r\nimdn.Message-ID: 1\r\ncontent-type: text/plain\r\nContent-length: 12\r\n\r\nHi",
        "NS: imdn <urn:ietf:params:imdn>\nimdn.Message-ID: 1\n\nContent-Type :\n\ttext/plain\t\nX: y\n\nHi",
    ] {
        assert_eq!(parse(body), Ok(usual.clone()), "{body}");
    }
    assert_eq!(parse("\r\n\r\nHi").unwrap().content, Content { body: b"Hi".into(), ..Content::default() });
}

#[test]
fn what_is_no_message_is_refused() {
    let many = "Subject: x\r\n".repeat(MAX_LINES + 1);
    let long = "x".repeat(MAX_BODY + 1);
    for (body, error) in [
        ("", CpimError::Truncated),
        ("From: <sip:a@b>\r\n", CpimError::Truncated),
        ("From: <sip:a@b>\r\n\r\n", CpimError::Truncated),
        ("From: <sip:a@b>\r\n\r\nContent-Type: text/plain\r\n", CpimError::Truncated),
        ("Hello\r\n\r\n\r\n", CpimError::Malformed),
        ("a b: c\r\n\r\n\r\n", CpimError::Malformed),
        (": c\r\n\r\n\r\n", CpimError::Malformed),
        ("Subject: a\rb\r\n\r\n\r\n", CpimError::Malformed),
        ("Subject: a\0\r\n\r\n\r\n", CpimError::Malformed),
        ("Subject: a\r\n folded\r\n\r\n\r\n", CpimError::Malformed),
        ("NS: imdn\r\n\r\n\r\n", CpimError::Malformed),
        ("NS: imdn <urn:x\r\n\r\n\r\n", CpimError::Malformed),
        ("\r\nno colon\r\n\r\n", CpimError::Malformed),
        ("Require: Subject,x.Y\r\n\r\n\r\n", CpimError::Required),
        ("Require: Vital\r\n\r\n\r\n", CpimError::Required),
        ("NS: x <urn:x>\r\nRequire: x.Y\r\n\r\n\r\n", CpimError::Required),
        (&many, CpimError::TooMany),
        (&long, CpimError::TooLong),
    ] {
        assert_eq!(parse(body), Err(error), "{}", body.get(..40).unwrap_or(body));
    }
    assert_eq!(Message::parse(b"Subject: caf\xe9\r\n\r\n\r\n"), Err(CpimError::Encoding));
    assert!(Message::parse(b"Subject: x\r\n\r\n\r\ncaf\xe9").is_ok(), "of the content nothing is asked");
}

#[test]
fn every_truncation_of_the_headers_is_an_error() {
    let content = EXAMPLE.find("<body>").unwrap();
    for end in 0..content {
        assert!(Message::parse(&EXAMPLE.as_bytes()[..end]).is_err(), "cut at {end}");
    }
    for end in content..EXAMPLE.len() {
        assert!(Message::parse(&EXAMPLE.as_bytes()[..end]).is_ok(), "cut at {end}");
    }
}

#[test]
fn the_uri_of_an_address_stands_in_the_last_brackets() {
    for (address, expected) in [
        ("<sip:a@b>", Some("sip:a@b")),
        ("A <b> <sip:a@b>", Some("sip:a@b")),
        ("sip:a@b", None),
        ("<sip:a@b", None),
        ("<sip:a@b>;x", None),
        ("<>", None),
    ] {
        assert_eq!(uri(address), expected, "{address}");
    }
}

#[test]
fn a_time_is_written_to_the_second() {
    // `date -u -d @976743600`: the time of the example.
    assert_eq!(date_time(SystemTime::UNIX_EPOCH + Duration::from_millis(976_743_600_999)), "2000-12-13T21:40:00Z");
    assert!(date_time(SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 60)).ends_with('Z'));
}

proptest! {
    #[test]
    fn no_body_makes_it_panic(noise in proptest::collection::vec(any::<u8>(), 0..20), at in 0usize..700) {
        let mut body = EXAMPLE.as_bytes().to_vec();
        let at = at.min(body.len());
        body.splice(at..at, noise);
        if let Ok(message) = Message::parse(&body) {
            let written = message.to_bytes();
            prop_assert_eq!(Message::parse(&written), Ok(message));
        }
    }

    #[test]
    fn any_text_stays_one_value(value in "(?s).{0,40}", body in proptest::collection::vec(any::<u8>(), 0..20)) {
        let mut message = Message { content: Content { body: body.into(), ..Content::default() }, ..Message::default() };
        message.push(Namespace::Cpim, "Subject", &value);
        message.push(Namespace::Imdn, "Message-ID", &value);
        let written = message.to_bytes();
        prop_assert_eq!(Message::parse(&written), Ok(message));
    }
}
