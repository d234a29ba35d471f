//! Reading PIDF.

use super::super::xml_body::BodyError;
use super::super::xml_body::Ns;
use super::super::xml_body::Start;
use super::super::xml_body::XmlBody;
use super::Activity;
use super::Basic;
use super::Contact;
use super::Document;
use super::Extended;
use super::MAX_NAME;
use super::MAX_NOTE;
use super::MAX_NOTES;
use super::MAX_TUPLES;
use super::Note;
use super::Show;
use super::Tuple;
use super::UserInput;
use super::date_time;

impl Document {
    /// Reads a document. What it does not know it passes over; what is missing stays empty.
    pub fn parse(body: &[u8]) -> Result<Self, BodyError> {
        let (mut body, root) = XmlBody::new(body)?;
        if root.ns != Ns::Pidf || root.name() != "presence" {
            return Err(BodyError::Root);
        }
        let mut document = Self { entity: root.attribute("entity")?.unwrap_or_default(), ..Self::default() };
        let mut person_notes = Vec::new();
        let mut devices = Devices::default();
        while let Some(child) = body.child()? {
            match (child.ns, child.name()) {
                (Ns::Pidf, "tuple") => {
                    if document.tuples.len() >= MAX_TUPLES {
                        return Err(BodyError::TooMany);
                    }
                    document.tuples.push(Tuple::parse(&child, &mut body, &mut devices)?);
                }
                (Ns::Pidf, "note") => note(&child, &mut body, &mut document.notes)?,
                (Ns::DataModel, "person") => document.parse_person(&mut body, &mut person_notes)?,
                (Ns::DataModel, "device") => devices.parse(&mut body)?,
                (Ns::Rpid, "activities") => activities(&mut body, &mut document.activities)?,
                _ => body.skip()?,
            }
        }
        document.notes.append(&mut person_notes);
        devices.tell(&mut document.tuples);
        if document.display_name.is_none() {
            document.display_name = document.tuples.iter().find_map(|tuple| tuple.display_name.clone());
        }
        Ok(document)
    }

    fn parse_person(&mut self, body: &mut XmlBody<'_>, notes: &mut Vec<Note>) -> Result<(), BodyError> {
        while let Some(child) = body.child()? {
            match (child.ns, child.name()) {
                (Ns::Rpid, "activities") => activities(body, &mut self.activities)?,
                (Ns::Rpid, "user-input") => self.user_input = user_input(&child, body)?,
                (Ns::Cipid, "display-name") => self.display_name = display_name(&body.text()?),
                (Ns::DataModel, "note") => note(&child, body, notes)?,
                _ => body.skip()?,
            }
        }
        Ok(())
    }
}

/// The devices of RFC 4479 §3.4: what a tuple does not say of itself, the device that it names may say.
#[derive(Default)]
struct Devices {
    /// The device id that each tuple names; empty for none.
    of_tuples: Vec<String>,
    used: Vec<(String, UserInput)>,
}

impl Devices {
    /// As many as there can be tuples; further ones are passed over.
    fn parse(&mut self, body: &mut XmlBody<'_>) -> Result<(), BodyError> {
        let (mut id, mut input) = (String::new(), None);
        while let Some(child) = body.child()? {
            match (child.ns, child.name()) {
                (Ns::DataModel, "deviceID") => id = body.text()?.trim().to_owned(),
                (Ns::Rpid, "user-input") => input = user_input(&child, body)?,
                _ => body.skip()?,
            }
        }
        if let Some(input) = input.filter(|_| !id.is_empty() && self.used.len() < MAX_TUPLES) {
            self.used.push((id, input));
        }
        Ok(())
    }

    fn tell(&self, tuples: &mut [Tuple]) {
        for (tuple, named) in tuples.iter_mut().zip(&self.of_tuples) {
            let of_device = || self.used.iter().find(|(id, _)| id == named).map(|(_, input)| *input);
            tuple.user_input = tuple.user_input.or_else(of_device);
        }
    }
}

impl Tuple {
    fn parse(start: &Start<'_>, body: &mut XmlBody<'_>, devices: &mut Devices) -> Result<Self, BodyError> {
        let mut tuple = Self { id: start.attribute("id")?.unwrap_or_default(), ..Self::default() };
        let mut device = String::new();
        while let Some(child) = body.child()? {
            match (child.ns, child.name()) {
                (Ns::Pidf, "status") => tuple.parse_status(body)?,
                (Ns::Pidf, "contact") => {
                    let priority = child.attribute("priority")?.and_then(|priority| thousandths(&priority));
                    tuple.contact = Some(Contact { uri: body.text()?.trim().to_owned(), priority });
                }
                (Ns::Pidf, "note") => note(&child, body, &mut tuple.notes)?,
                (Ns::Pidf, "timestamp") => tuple.timestamp = date_time(&body.text()?),
                (Ns::Rpid, "activities") => activities(body, &mut tuple.activities)?,
                (Ns::Rpid, "user-input") => tuple.user_input = user_input(&child, body)?,
                (Ns::DataModel, "deviceID") => device = body.text()?.trim().to_owned(),
                (Ns::Cipid, "display-name") => tuple.display_name = display_name(&body.text()?),
                _ => body.skip()?,
            }
        }
        devices.of_tuples.push(device);
        Ok(tuple)
    }

    fn parse_status(&mut self, body: &mut XmlBody<'_>) -> Result<(), BodyError> {
        while let Some(child) = body.child()? {
            match (child.ns, child.name()) {
                (Ns::Pidf, "basic") => self.basic = basic(&body.text()?),
                (Ns::Client, "show") => self.show = Show::from_name(&body.text()?),
                (Ns::AgProjects, "extended") => self.extended = extended(&body.text()?),
                (Ns::Rpid, "activities") => activities(body, &mut self.activities)?,
                _ => body.skip()?,
            }
        }
        Ok(())
    }
}

/// The children of `<activities/>`: an element each (RFC 4480), or the text of `<activity/>` (its drafts).
fn activities(body: &mut XmlBody<'_>, into: &mut Vec<Activity>) -> Result<(), BodyError> {
    while let Some(child) = body.child()? {
        let activity = match (child.ns, child.name()) {
            (Ns::Rpid, "activity") => Activity::from_name(body.text()?.trim()),
            (Ns::Rpid, name) => {
                let activity = Activity::from_name(name);
                body.skip()?;
                activity
            }
            _ => {
                body.skip()?;
                None
            }
        };
        // Once each: the set is closed, and so the list is bounded.
        into.extend(activity.filter(|activity| !into.contains(activity)));
    }
    Ok(())
}

fn note(start: &Start<'_>, body: &mut XmlBody<'_>, into: &mut Vec<Note>) -> Result<(), BodyError> {
    let language = start.language()?;
    let text = body.text()?;
    if into.len() < MAX_NOTES && !text.is_empty() && text.len() <= MAX_NOTE {
        into.push(Note { language, text });
    }
    Ok(())
}

/// A state that RPID does not know says nothing.
fn user_input(start: &Start<'_>, body: &mut XmlBody<'_>) -> Result<Option<UserInput>, BodyError> {
    let since = start.attribute("last-input")?.and_then(|time| date_time(&time));
    Ok(match body.text()?.trim() {
        "active" => Some(UserInput::Active),
        "idle" => Some(UserInput::Idle { since }),
        _ => None,
    })
}

fn display_name(text: &str) -> Option<String> {
    let name = text.trim();
    (!name.is_empty() && name.len() <= MAX_NAME).then(|| name.to_owned())
}

fn basic(text: &str) -> Option<Basic> {
    match text.trim() {
        text if text.eq_ignore_ascii_case("open") => Some(Basic::Open),
        text if text.eq_ignore_ascii_case("closed") => Some(Basic::Closed),
        _ => None,
    }
}

fn extended(text: &str) -> Option<Extended> {
    match text.trim() {
        "available" => Some(Extended::Available),
        "away" => Some(Extended::Away),
        "extended-away" => Some(Extended::ExtendedAway),
        "busy" => Some(Extended::Busy),
        "offline" => Some(Extended::Offline),
        _ => None,
    }
}

/// `0`, `1`, or `0.` and up to three digits (RFC 3863 §4.1.5); further digits are cut off.
fn thousandths(priority: &str) -> Option<u16> {
    let (whole, fraction) = priority.trim().split_once('.').unwrap_or((priority.trim(), ""));
    let mut digits = fraction.bytes().chain(std::iter::repeat(b'0')).take(3);
    let fraction = digits.try_fold(0u16, |value, digit| {
        let digit = char::from(digit).to_digit(10).and_then(|digit| u16::try_from(digit).ok())?;
        value.checked_mul(10)?.checked_add(digit)
    })?;
    match (whole, fraction) {
        ("0", fraction) => Some(fraction),
        ("1", 0) => Some(1000),
        _ => None,
    }
}
