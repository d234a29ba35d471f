//! Writing PIDF.

use super::Activity;
use super::Basic;
use super::Document;
use super::Extended;
use super::Note;
use super::Tuple;
use super::UserInput;
use crate::xml::XmlWriter;

impl Document {
    /// Writes the document in the order of the schema: tuples, notes, then the person (RFC 3863 §4.4).
    ///
    /// The id of the person is made from that of the first tuple, so that it stays unique when a presence server puts the
    /// publications of several devices into one document.
    pub fn to_xml(&self) -> String {
        let mut xml = XmlWriter::document();
        xml.open("presence").attribute("xmlns", "urn:ietf:params:xml:ns:pidf").attribute("entity", &self.entity);
        for tuple in &self.tuples {
            tuple.write(&mut xml);
        }
        write_notes(&self.notes, &mut xml);
        if !self.activities.is_empty() || self.user_input.is_some() {
            let tuple_id = self.tuples.first().map_or("", |tuple| tuple.id.as_str());
            xml.open("dm:person").attribute("xmlns:dm", "urn:ietf:params:xml:ns:pidf:data-model");
            xml.attribute("id", &["P-", tuple_id].concat());
            write_activities(&self.activities, &mut xml);
            write_user_input(self.user_input, &mut xml);
            xml.close();
        }
        xml.finish()
    }
}

impl Tuple {
    fn write(&self, xml: &mut XmlWriter) {
        xml.open("tuple").attribute("id", &self.id);
        xml.open("status");
        if let Some(basic) = self.basic {
            xml.open("basic").text(basic.name()).close();
        }
        if let Some(show) = self.show {
            xml.open("show").attribute("xmlns", "jabber:client").text(show.name()).close();
        }
        if let Some(extended) = self.extended {
            xml.open("extended").attribute("xmlns", "urn:ag-projects:xml:ns:pidf").text(extended.name()).close();
        }
        xml.close();
        write_activities(&self.activities, xml);
        write_user_input(self.user_input, xml);
        if let Some(contact) = &self.contact {
            xml.open("contact");
            if let Some(priority) = contact.priority {
                xml.attribute("priority", &decimal(priority));
            }
            xml.text(&contact.uri).close();
        }
        write_notes(&self.notes, xml);
        if let Some(timestamp) = self.timestamp {
            xml.open("timestamp").text(&format!("{timestamp:.0}")).close();
        }
        xml.close();
    }
}

impl Basic {
    fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "closed",
        }
    }
}

impl Extended {
    fn name(self) -> &'static str {
        match self {
            Self::Available => "available",
            Self::Away => "away",
            Self::ExtendedAway => "extended-away",
            Self::Busy => "busy",
            Self::Offline => "offline",
        }
    }
}

/// Nothing if there is none: the element may not be empty.
fn write_activities(activities: &[Activity], xml: &mut XmlWriter) {
    if activities.is_empty() {
        return;
    }
    xml.open("rpid:activities").attribute("xmlns:rpid", "urn:ietf:params:xml:ns:pidf:rpid");
    for activity in activities {
        xml.open(activity.element()).close();
    }
    xml.close();
}

fn write_user_input(input: Option<UserInput>, xml: &mut XmlWriter) {
    let (name, since) = match input {
        None => return,
        Some(UserInput::Active) => ("active", None),
        Some(UserInput::Idle { since }) => ("idle", since),
    };
    xml.open("user-input").attribute("xmlns", "urn:ietf:params:xml:ns:pidf:rpid");
    xml.attribute_if("last-input", since.map(|since| format!("{since:.0}")).as_deref());
    xml.text(name).close();
}

fn write_notes(notes: &[Note], xml: &mut XmlWriter) {
    for note in notes {
        xml.open("note").attribute_if("xml:lang", note.language.as_deref()).text(&note.text).close();
    }
}

/// The three decimals of a priority.
fn decimal(thousandths: u16) -> String {
    match thousandths.min(1000) {
        1000 => "1.000".to_owned(),
        fraction => format!("0.{fraction:03}"),
    }
}
