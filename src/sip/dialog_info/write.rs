//! Writing dialog information.

use super::super::dialog_state::DialogState;
use super::Dialog;
use super::Document;
use super::NameAddress;
use super::Participant;
use super::State;
use super::Target;
use crate::xml::XmlWriter;
use crate::xml::push_escaped;

impl Document {
    /// Writes the document, dialogs in their order and in each the elements in that of the schema.
    pub fn to_xml(&self) -> String {
        let mut out = String::with_capacity(512);
        push_start(&mut out, self.version, self.state, &self.entity);
        push_dialogs(&mut out, self.dialogs.iter().map(Dialog::element));
        out
    }
}

/// Begins a document; [`push_dialogs`] ends it.
pub(crate) fn push_start(out: &mut String, version: u32, state: State, entity: &str) {
    out.push_str("<?xml version='1.0' encoding='UTF-8'?><dialog-info xmlns='urn:ietf:params:xml:ns:dialog-info' version='");
    out.push_str(&version.to_string());
    out.push_str("' state='");
    out.push_str(state.name());
    out.push_str("' entity='");
    push_escaped(out, entity);
    out.push('\'');
}

/// Adds the dialogs, and ends the document.
pub(crate) fn push_dialogs<T: AsRef<str>>(out: &mut String, dialogs: impl Iterator<Item = T>) {
    let mut dialogs = dialogs.peekable();
    if dialogs.peek().is_none() {
        out.push_str("/>");
        return;
    }
    out.push('>');
    dialogs.for_each(|dialog| out.push_str(dialog.as_ref()));
    out.push_str("</dialog-info>");
}

impl Dialog {
    /// The element of the dialog alone.
    pub fn element(&self) -> String {
        let mut xml = XmlWriter::new();
        self.write(&mut xml);
        xml.finish()
    }

    fn write(&self, xml: &mut XmlWriter) {
        xml.open("dialog").attribute("id", &self.id);
        xml.attribute_if("call-id", self.call_id.as_deref());
        xml.attribute_if("local-tag", self.local_tag.as_deref());
        xml.attribute_if("remote-tag", self.remote_tag.as_deref());
        xml.attribute_if("direction", self.direction.map(|direction| direction.name()));
        write_state(self.state, xml);
        if let Some(duration) = self.duration {
            xml.open("duration").text(&duration.to_string()).close();
        }
        if let Some(replaces) = &self.replaces {
            xml.open("replaces").attribute("call-id", &replaces.call_id);
            xml.attribute("local-tag", &replaces.local_tag).attribute("remote-tag", &replaces.remote_tag).close();
        }
        if let Some(referred_by) = &self.referred_by {
            referred_by.write("referred-by", xml);
        }
        if let Some(local) = &self.local {
            local.write("local", xml);
        }
        if let Some(remote) = &self.remote {
            remote.write("remote", xml);
        }
        xml.close();
    }
}

fn write_state(state: DialogState, xml: &mut XmlWriter) {
    xml.open("state");
    if let DialogState::Terminated(end) = state {
        xml.attribute_if("event", end.cause().map(|cause| cause.name()));
        xml.attribute_if("code", end.code().map(|code| code.to_string()).as_deref());
    }
    xml.text(state.name()).close();
}

impl NameAddress {
    fn write(&self, element: &'static str, xml: &mut XmlWriter) {
        xml.open(element).attribute_if("display", self.display.as_deref()).text(&self.uri).close();
    }
}

impl Participant {
    fn write(&self, element: &'static str, xml: &mut XmlWriter) {
        xml.open(element);
        if let Some(identity) = &self.identity {
            identity.write("identity", xml);
        }
        if let Some(target) = &self.target {
            target.write(xml);
        }
        if let Some(cseq) = self.cseq {
            xml.open("cseq").text(&cseq.to_string()).close();
        }
        xml.close();
    }
}

impl Target {
    fn write(&self, xml: &mut XmlWriter) {
        xml.open("target").attribute("uri", &self.uri);
        for parameter in &self.parameters {
            xml.open("param").attribute("pname", &parameter.name).attribute("pval", &parameter.value).close();
        }
        xml.close();
    }
}
