use std::collections::HashMap;
use std::collections::HashSet;
use std::sync::atomic::AtomicBool;
use std::thread;

use jid::Jid;
use proptest::prelude::*;

use super::rows::Loaded;
use super::rows::Rows;
use super::*;
use crate::address::Addresses;
use crate::address::DomainPair;
use crate::address::Scheme;

/// Room for some thousand users; lost, as that of the real one is never given back.
fn memory(words: usize) -> &'static [AtomicU64] {
    Vec::leak((0..words).map(|_| AtomicU64::new(0)).collect())
}

fn map() -> Map {
    Map::over(memory(1 << 17))
}

fn row(id: i64, sip: &str, jid: &str) -> Row {
    Row::new(id, sip.as_bytes(), jid.as_bytes(), 0).unwrap()
}

fn addresses(scheme: Scheme, map: &Map) -> Addresses {
    Addresses::new(scheme).unwrap().with_map(map.clone())
}

fn jid(addresses: &Addresses, uri: &str) -> Result<String, AddressError> {
    addresses.sip_to_jid(uri.as_bytes()).map(|jid| jid.to_string())
}

fn uri(addresses: &Addresses, jid: &str) -> Result<String, AddressError> {
    addresses.jid_to_gruu(&Jid::new(jid).unwrap())
}

#[test]
fn a_mapped_user_has_both_addresses_and_others_those_of_the_scheme() {
    let map = map();
    let addresses = addresses(Scheme::Transparent, &map);
    assert_eq!(jid(&addresses, "sip:1001@pbx.example").as_deref(), Ok("1001@pbx.example"));
    map.replace(&[row(1, "sip:1001@pbx.example", "romeo@im.example"), row(2, "sip:1002@pbx.example", "juliet@im.example")])
        .unwrap();
    for (sip, xmpp) in [
        ("sip:1001@pbx.example", "romeo@im.example"),
        ("sip:1002@pbx.example;gr=home", "juliet@im.example/home"),
        ("sip:1003@pbx.example", "1003@pbx.example"),
    ] {
        assert_eq!(jid(&addresses, sip).as_deref(), Ok(xmpp));
        assert_eq!(uri(&addresses, xmpp).as_deref(), Ok(sip));
    }
    assert_eq!(jid(&addresses, "sip:1001@PBX.example:5070;transport=tcp").as_deref(), Ok("romeo@im.example"));
}

#[test]
fn what_the_scheme_would_make_of_a_mapped_user_is_refused() {
    let map = map();
    map.replace(&[row(1, "sip:1001@pbx.example", "romeo@im.example")]).unwrap();
    let transparent = addresses(Scheme::Transparent, &map);
    assert_eq!(jid(&transparent, "sip:romeo@im.example"), Err(AddressError::Ambiguous));
    assert_eq!(jid(&transparent, "sip:ROMEO@im.example"), Err(AddressError::Ambiguous));
    assert_eq!(uri(&transparent, "1001@pbx.example"), Err(AddressError::Ambiguous));
    let pairs = vec![DomainPair { sip: "pbx.example".into(), xmpp: "sip.im.example".into() }];
    let mapped = addresses(Scheme::Mapped(pairs), &map);
    assert_eq!(uri(&mapped, "1001@sip.im.example"), Err(AddressError::Ambiguous));
    assert_eq!(uri(&mapped, "1002@sip.im.example").as_deref(), Ok("sip:1002@pbx.example"));
}

#[test]
fn a_dialog_from_before_keeps_its_names() {
    let map = map();
    let addresses = addresses(Scheme::Transparent, &map);
    map.replace(&[row(1, "sip:1001@pbx.example", "romeo@im.example")]).unwrap();
    let of_dialog = |uri: &str| addresses.sip_to_jid_loosely(uri.as_bytes()).unwrap().to_string();
    assert_eq!(of_dialog("sip:romeo@im.example"), "romeo@im.example");
    assert_eq!(of_dialog("sip:1001@pbx.example"), "romeo@im.example");
    assert_eq!(addresses.jid_to_sip_loosely(&Jid::new("1001@pbx.example").unwrap()).as_deref(), Ok("sip:1001@pbx.example"));
}

#[test]
fn the_sip_user_is_found_without_regard_to_case() {
    let map = map();
    map.replace(&[row(1, "sip:Alice@pbx.example", "a.smith@im.example"), row(2, "sip:J%C3%9CRGEN@pbx.example", "j@im.example")])
        .unwrap();
    let addresses = addresses(Scheme::Transparent, &map);
    assert_eq!(jid(&addresses, "sip:aLICE@pbx.example").as_deref(), Ok("a.smith@im.example"));
    assert_eq!(uri(&addresses, "a.smith@im.example").as_deref(), Ok("sip:alice@pbx.example"));
    assert_eq!(jid(&addresses, "sip:j%C3%BCrgen@pbx.example").as_deref(), Ok("j@im.example"));
    assert_eq!(uri(&addresses, "j@im.example").as_deref(), Ok("sip:j%C3%BCrgen@pbx.example"));
}

#[test]
fn nobody_takes_the_place_of_a_mapped_user_by_characters_that_vanish() {
    let map = map();
    map.replace(&[row(1, "sip:admin@pbx.example", "alice@im.example")]).unwrap();
    let addresses = addresses(Scheme::Transparent, &map);
    assert_eq!(addresses.sip_user_to_jid(b"sip:Admin@pbx.example").unwrap().as_str(), "alice@im.example");
    // U+00AD is shown as nothing, and nodeprep drops it.
    let disguised = b"sip:ad%C2%ADmin@pbx.example";
    assert_eq!(addresses.sip_user_to_jid(disguised), Err(AddressError::Ambiguous));
    assert_eq!(addresses.sip_to_jid_loosely(disguised), Err(AddressError::Ambiguous));
}

#[test]
fn a_telephone_number_of_the_map_is_found_however_it_is_written() {
    let map = map();
    map.replace(&[row(1, "sip:+12015550123@tel.example", "alice@im.example")]).unwrap();
    let addresses = addresses(Scheme::Transparent, &map).with_tel_domain("tel.example").unwrap();
    for uri in ["tel:+1-201-555-0123", "sip:+1-201-555-0123@tel.example;user=phone", "sip:+12015550123@tel.example"] {
        assert_eq!(jid(&addresses, uri).as_deref(), Ok("alice@im.example"), "{uri}");
    }
    let alice = Jid::new("alice@im.example").unwrap();
    assert_eq!(addresses.jid_to_recipient(&alice).as_deref(), Ok("sip:+12015550123@tel.example;user=phone"));
}

#[test]
fn names_that_need_escapes_come_back() {
    let map = map();
    map.replace(&[row(1, "sip:a%20b@pbx.example", r"d\27artagnan@m\u{fc}nchen.example".replace(r"\u{fc}", "\u{fc}").as_str())])
        .unwrap();
    let addresses = addresses(Scheme::Transparent, &map);
    let translated = jid(&addresses, "sip:a%20b@pbx.example").unwrap();
    assert_eq!(translated, "d\\27artagnan@m\u{fc}nchen.example");
    assert_eq!(uri(&addresses, &translated).as_deref(), Ok("sip:a%20b@pbx.example"));
}

#[test]
fn a_user_of_the_map_is_a_sip_user_by_the_domain_of_the_jid() {
    let map = map();
    map.replace(&[
        row(1, "sip:+15551234@carrier.example", "alice@sip.im.example"),
        row(2, "sip:1001@pbx.example", "romeo@im.example"),
    ])
    .unwrap();
    let addresses = addresses(Scheme::Transparent, &map).of_component("sip.im.example").unwrap();
    assert!(addresses.sip_user_to_jid(b"sip:+15551234@carrier.example").is_ok());
    assert_eq!(addresses.xmpp_user_to_jid(b"sip:1001@pbx.example").unwrap().as_str(), "romeo@im.example");
    assert_eq!(addresses.sip_user_to_jid(b"sip:1001@pbx.example"), Err(AddressError::Foreign));
}

#[test]
fn of_rows_with_the_same_address_the_first_is_taken() {
    let map = map();
    let rows = [
        row(3, "sip:1001@pbx.example", "romeo@im.example"),
        row(5, "sip:1001@PBX.example", "other@im.example"),
        row(9, "sip:1002@pbx.example", "Romeo@im.example"),
        row(12, "sip:1003@pbx.example", "other@im.example"),
    ];
    let duplicates = map.replace(&rows).unwrap();
    assert_eq!(duplicates, [Duplicate { id: 5, side: Side::Sip }, Duplicate { id: 9, side: Side::Xmpp }]);
    assert_eq!(map.len(), 2);
    let addresses = addresses(Scheme::Transparent, &map);
    assert_eq!(jid(&addresses, "sip:1003@pbx.example").as_deref(), Ok("other@im.example"));
    assert_eq!(jid(&addresses, "sip:1002@pbx.example").as_deref(), Ok("1002@pbx.example"));
}

#[test]
fn bad_rows_are_counted_and_left_out() {
    let map = map();
    let mut rows = Rows::default();
    rows.take(1, b"sip:1001@pbx.example", b"romeo@im.example", 0);
    rows.take(2, b"1002", b"juliet@im.example", 0);
    rows.take(3, b"sip:1003@pbx.example", b"\xff@im.example", 0);
    rows.take(4, b"sip:1004@pbx.example", b"tybalt@im.example", 1);
    rows.take(5, b"sip:1005@pbx.example", b"nurse@im.example", 8);
    rows.take(6, b"sip:1006@pbx.example", b"romeo@im.example", 0);
    assert_eq!(rows.replace(&map), Ok(Loaded { rows: 1, skipped: 4, disabled: 1 }));
    let addresses = addresses(Scheme::Transparent, &map);
    assert_eq!(jid(&addresses, "sip:1004@pbx.example").as_deref(), Ok("1004@pbx.example"));
}

#[test]
fn what_does_not_fit_leaves_the_map_as_it_was() {
    let map = Map::over(memory(200));
    map.replace(&[row(1, "sip:1001@pbx.example", "romeo@im.example")]).unwrap();
    let many: Vec<Row> = (0..40).map(|n| row(n, &format!("sip:{n}@pbx.example"), &format!("u{n}@im.example"))).collect();
    assert_eq!(map.replace(&many), Err(ReplaceError::TooLarge));
    let addresses = addresses(Scheme::Transparent, &map);
    assert_eq!(jid(&addresses, "sip:1001@pbx.example").as_deref(), Ok("romeo@im.example"));
    map.replace(&[row(1, "sip:1002@pbx.example", "romeo@im.example")]).unwrap();
    assert_eq!(jid(&addresses, "sip:1002@pbx.example").as_deref(), Ok("romeo@im.example"));
}

#[test]
fn one_process_at_a_time_replaces_it() {
    let map = map();
    let held = Lock::take(map.head(LOCK).unwrap()).unwrap();
    assert_eq!(map.replace(&[]), Err(ReplaceError::Busy));
    drop(held);
    assert_eq!(map.replace(&[]), Ok(Vec::new()));
    assert_eq!((map.generation(), map.len()), (1, 0));
}

#[test]
fn the_largest_map_has_room_for_the_rows_that_are_allowed() {
    let indexes = snapshot::HEAD + 2 * (2 * MAX_ROWS).next_power_of_two();
    assert!((HALF - indexes) * 8 / MAX_ROWS > 220);
    assert!(u32::try_from(HALF).is_ok());
}

/// Each snapshot maps all users, and says its number in all of its JIDs: a mixture of two would show.
#[test]
fn readers_see_one_snapshot_while_it_is_replaced() {
    const USERS: usize = 300;
    let map = map();
    let snapshot = |number: u64| -> Vec<Row> {
        let row = |user| row(1, &format!("sip:u{user}@pbx.example"), &format!("u{user}-{number}@im.example"));
        (0..USERS - usize::try_from(number % 100).unwrap()).map(row).collect()
    };
    map.replace(&snapshot(0)).unwrap();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let readers: Vec<_> = (0..3)
            .map(|reader| {
                let (map, done) = (&map, &done);
                scope.spawn(move || {
                    let (mut newest, mut user) = (0, reader);
                    while !done.load(Ordering::Relaxed) {
                        user = (user + 7) % (USERS - 100);
                        let (found, domain) = map.find(Side::Sip, &format!("u{user}"), "pbx.example").unwrap();
                        let (name, number) = found.split_once('-').unwrap();
                        assert_eq!((name, &*domain), (format!("u{user}").as_str(), "im.example"));
                        let number: u64 = number.parse().unwrap();
                        assert!(number >= newest, "{number} after {newest}");
                        newest = number;
                        if let Some((back, _)) = map.find(Side::Xmpp, &found, &domain) {
                            assert_eq!(back, format!("u{user}"));
                        }
                    }
                    newest
                })
            })
            .collect();
        for number in 1..400 {
            map.replace(&snapshot(number)).unwrap();
        }
        done.store(true, Ordering::Relaxed);
        for reader in readers {
            reader.join().unwrap();
        }
    });
}

/// As a process of the host does: its own `Map` over the same memory, made before the fork.
#[test]
fn a_copy_sees_what_another_replaced() {
    let map = map();
    let copy = map.clone();
    map.replace(&[row(1, "sip:1001@pbx.example", "romeo@im.example")]).unwrap();
    assert_eq!(copy.find(Side::Sip, "1001", "pbx.example"), Some(("romeo".into(), "im.example".into())));
}

impl Map {
    fn find(&self, side: Side, user: &str, domain: &str) -> Option<Translated<'static>> {
        self.read(|snapshot| snapshot.find(side, user, domain)).flatten()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// A map of anything agrees with a plain table, in both directions, snapshot after snapshot.
    #[test]
    fn lookups_agree_with_a_plain_table(
        snapshots in prop::collection::vec(prop::collection::vec(("[a-e0-2.é]{1,3}", 0..2u8, "[a-e'ü]{1,3}", 0..2u8), 0..40), 1..5)
    ) {
        let map = Map::over(memory(1 << 12));
        for rows in snapshots {
            let rows: Vec<Row> = rows
                .iter()
                .filter_map(|(user, host, node, domain)| {
                    let mut aor = String::from("sip:");
                    escape::percent_encode(user, escape::USER, &mut aor);
                    let jid = format!("{}@x{domain}.example", escape::escape(node));
                    Row::new(0, format!("{aor}@s{host}.example").as_bytes(), jid.as_bytes(), 0).ok()
                })
                .collect();
            let (mut sips, mut xmpps, mut table) = (HashSet::new(), HashSet::new(), HashMap::new());
            for Row { sip, xmpp, .. } in &rows {
                let (sip, xmpp) = ((sip.user.clone(), sip.domain.clone()), (xmpp.user.clone(), xmpp.domain.clone()));
                if !sips.contains(&sip) && !xmpps.contains(&xmpp) {
                    sips.insert(sip.clone());
                    xmpps.insert(xmpp.clone());
                    table.insert(sip, xmpp);
                }
            }
            let duplicates = map.replace(&rows).unwrap();
            prop_assert_eq!(map.len(), table.len());
            prop_assert_eq!(duplicates.len(), rows.len().saturating_sub(table.len()));
            for Row { sip, .. } in &rows {
                let found = map.find(Side::Sip, &sip.user, &sip.domain).map(|(user, domain)| (user.into_owned(), domain.into_owned()));
                prop_assert_eq!(found, table.get(&(sip.user.clone(), sip.domain.clone())).cloned());
            }
            for (sip, xmpp) in &table {
                let back = map.find(Side::Xmpp, &xmpp.0, &xmpp.1).map(|(user, domain)| (user.into_owned(), domain.into_owned()));
                prop_assert_eq!(back.as_ref(), Some(sip));
            }
        }
    }

    /// With a map in front of any scheme, what is handed out comes back, and no two addresses become one.
    #[test]
    fn with_a_map_addresses_come_back_or_are_refused(
        rows in prop::collection::vec(("[a-c]{1,2}", 0..3u8, "[a-c]{1,2}", 0..3u8), 0..12),
        which in 0..2u8,
        asked in prop::collection::vec(("[a-cA]{1,2}", 0..3u8), 1..20),
    ) {
        let map = Map::over(memory(1 << 10));
        let rows: Vec<Row> = rows
            .iter()
            .map(|(user, host, node, domain)| row(0, &format!("sip:{user}@d{host}.example"), &format!("{node}@d{domain}.example")))
            .collect();
        map.replace(&rows).unwrap();
        let scheme = match which {
            0 => Scheme::Transparent,
            _ => Scheme::Mapped(vec![DomainPair { sip: "d0.example".into(), xmpp: "d1.example".into() }]),
        };
        let addresses = addresses(scheme, &map);
        for (user, host) in asked {
            let name = format!("{user}@d{host}.example");
            if let Ok(translated) = addresses.sip_to_jid(format!("sip:{name}").as_bytes()) {
                let back = addresses.jid_to_sip(&translated);
                prop_assert_eq!(back, Ok(format!("sip:{}", name.to_ascii_lowercase())));
            }
            let asked = Jid::new(&name).unwrap();
            if let Ok(translated) = addresses.jid_to_sip(&asked) {
                prop_assert_eq!(addresses.sip_to_jid(translated.as_bytes()), Ok(asked));
            }
        }
    }
}
