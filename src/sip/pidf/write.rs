//! Writing PIDF.

use super::Activity;
use super::Basic;
use super::Document;
use super::Extended;
use super::Note;
use super::Tuple;
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
        if !self.activities.is_empty() {
            let tuple_id = self.tuples.first().map_or("", |tuple| tuple.id.as_str());
            xml.open("dm:person").attribute("xmlns:dm", "urn:ietf:params:xml:ns:pidf:data-model");
            xml.attribute("id", &["P-", tuple_id].concat());
            write_activities(&self.activities, &mut xml);
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
        if !self.activities.is_empty() {
            write_activities(&self.activities, xml);
        }
        if let Some(contact) = &self.contact {
            xml.open("contact");
            if let Some(priority) = contact.priority {
                xml.attribute("priority", &decimal(priority));
            }
            xml.text(&contact.uri).close();
        }
        write_notes(&self.notes, xml);
        if let Some(timestamp) = &self.timestamp {
            xml.open("timestamp").text(timestamp).close();
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

fn write_activities(activities: &[Activity], xml: &mut XmlWriter) {
    xml.open("activities").attribute("xmlns", "urn:ietf:params:xml:ns:pidf:rpid");
    for activity in activities {
        xml.open(activity.name()).close();
    }
    xml.close();
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
