//! Every row of the table of RFC 8048 §5.2 and RFC 6665 §4.1 as it is acted out: each phase of a subscription, each thing that can happen
//! to it, and all that comes of it. `subscription_table.txt` is that table, to be read as a specification: after `then` stands what
//! a second brings, and the answer to a probe.

use std::fmt::Write;
use std::time::Duration;

use xmpp_gateway::gateway::event::Event;
use xmpp_gateway::gateway::event::SubscribeReply;
use xmpp_gateway::sip::Reason;
use xmpp_gateway::sip::SubscriptionState::Active;
use xmpp_gateway::sip::SubscriptionState::Pending;
use xmpp_gateway::sip::SubscriptionState::Terminated;
use xmpp_gateway::translate::presence::Availability::Available;

use crate::support::*;

type Act = fn(&mut Scene) -> Vec<String>;

/// How a subscription comes into each phase.
const PHASES: [(&str, Act); 9] = [
    ("unknown", |_| Vec::new()),
    ("asked", asked),
    ("asked, pending", |scene| {
        asked(scene);
        scene.reply(202);
        scene.notify(Pending, &[])
    }),
    ("asked, to be tried again", |scene| {
        asked(scene);
        scene.reply(503)
    }),
    ("active", active),
    ("final", |scene| {
        active(scene);
        scene.notify(Terminated(Reason::Invariant), &[])
    }),
    ("ending", |scene| {
        active(scene);
        scene.romeo("unsubscribe")
    }),
    ("leaving", |scene| {
        active(scene);
        came_back(scene)
    }),
    ("over", |scene| {
        active(scene);
        scene.notify(Terminated(Reason::Rejected), &[])
    }),
];

/// What can happen in each.
const EVENTS: [(&str, Act); 32] = [
    ("subscribe", |scene| scene.romeo("subscribe")),
    ("probe", |scene| scene.romeo("probe")),
    ("unsubscribe", |scene| scene.romeo("unsubscribe")),
    ("presence that comes back", came_back),
    ("200", |scene| scene.reply(200)),
    ("200 for 0 s", |scene| scene.event(Event::SubscribeReply(SubscribeReply { expires: Some(0), ..reply(200) }))),
    ("200 for 600 s", |scene| scene.event(Event::SubscribeReply(SubscribeReply { expires: Some(600), ..reply(200) }))),
    ("403", |scene| scene.reply(403)),
    ("489", |scene| scene.reply(489)),
    ("603", |scene| scene.reply(603)),
    ("404", |scene| scene.reply(404)),
    ("408", |scene| scene.reply(408)),
    ("423", |scene| scene.reply(423)),
    ("423, at least 7200 s", |scene| {
        scene.event(Event::SubscribeReply(SubscribeReply { min_expires: Some(7200), ..reply(423) }))
    }),
    ("481", |scene| scene.reply(481)),
    ("503", |scene| scene.reply(503)),
    ("503, after 60 s", |scene| scene.reply_with(503, None, None, Some(60))),
    ("NOTIFY pending", |scene| scene.notify(Pending, &[])),
    ("NOTIFY active", |scene| scene.notify(Active, &[("chamber", Available)])),
    ("NOTIFY active, no body", |scene| scene.notify(Active, &[])),
    ("terminated;deactivated", |scene| scene.notify(Terminated(Reason::Deactivated), &[])),
    ("terminated;probation", |scene| scene.notify(Terminated(Reason::Probation), &[])),
    ("terminated;probation, 60 s", |scene| {
        scene.retry_after = Some(60);
        scene.notify(Terminated(Reason::Probation), &[])
    }),
    ("terminated;rejected", |scene| scene.notify(Terminated(Reason::Rejected), &[])),
    ("terminated;timeout", |scene| scene.notify(Terminated(Reason::Timeout), &[])),
    ("terminated;giveup", |scene| scene.notify(Terminated(Reason::Giveup), &[])),
    ("terminated;noresource", |scene| scene.notify(Terminated(Reason::Noresource), &[])),
    ("terminated;invariant", |scene| scene.notify(Terminated(Reason::Invariant), &[])),
    ("terminated, no reason", |scene| scene.notify(Terminated(Reason::Unspecified), &[])),
    ("1 s", |scene| scene.pass(Duration::from_secs(1))),
    ("40 s", |scene| scene.pass(Duration::from_secs(40))),
    ("2700 s", |scene| scene.pass(Duration::from_secs(2700))),
];

fn asked(scene: &mut Scene) -> Vec<String> {
    scene.stanza(&format!("<presence from='{ROMEO}' to='{JULIET}' type='subscribe' id='s1'/>"))
}

/// For as long as a notifier takes to have ended nothing that it has just begun.
fn active(scene: &mut Scene) -> Vec<String> {
    asked(scene);
    scene.reply(200);
    scene.notify(Active, &[("balcony", Available)]);
    scene.pass(Duration::from_secs(10))
}

fn came_back(scene: &mut Scene) -> Vec<String> {
    let error = "<error type='cancel'><remote-server-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>";
    scene.stanza(&format!("<presence from='{ROMEO}' to='{JULIET}' type='error'>{error}</presence>"))
}

/// What is known afterwards shows in the answer to a probe, and in what the next seconds bring.
fn afterwards(scene: &mut Scene) -> Vec<String> {
    let mut lines = scene.pass(Duration::from_secs(1));
    lines.extend(scene.romeo("probe"));
    lines
}

/// A line as people read it.
fn short(line: &str) -> String {
    let line = line.replace(&format!(" to='{ROMEO}'"), "").replace("sip:romeo@example.net -> sip:juliet@sip.example.com ", "");
    line.replace(JULIET, "juliet").replace(" xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'", "").replace(DOMAIN, "gateway")
}

fn cell(lines: &[String]) -> String {
    if lines.is_empty() { "-".to_owned() } else { lines.iter().map(|line| short(line)).collect::<Vec<_>>().join(" ") }
}

#[test]
fn each_event_in_each_phase_has_its_effect() {
    let mut table = String::new();
    for (phase, reach) in PHASES {
        let mut rows: Vec<(Vec<&str>, String)> = Vec::new();
        for (event, act) in EVENTS {
            let mut scene = Scene::new();
            reach(&mut scene);
            let effect = cell(&act(&mut scene));
            let outcome = format!("    {effect}\n    then {}", cell(&afterwards(&mut scene)));
            match rows.iter_mut().find(|(_, known)| *known == outcome) {
                Some((events, _)) => events.push(event),
                None => rows.push((vec![event], outcome)),
            }
        }
        writeln!(table, "{phase}").unwrap();
        for (events, outcome) in rows {
            writeln!(table, "  {}\n{outcome}", events.join(" | ")).unwrap();
        }
    }
    assert_eq!(table, include_str!("subscription_table.txt"));
}
