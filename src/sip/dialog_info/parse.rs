//! Reading dialog information.

use super::super::dialog_state::Cause;
use super::super::dialog_state::DialogState;
use super::super::dialog_state::End;
use super::super::xml_body;
use super::super::xml_body::BodyError;
use super::super::xml_body::Ns;
use super::super::xml_body::Start;
use super::super::xml_body::XmlBody;
use super::Dialog;
use super::Direction;
use super::Document;
use super::MAX_DIALOGS;
use super::MAX_PARAMETERS;
use super::NameAddress;
use super::Parameter;
use super::Participant;
use super::Replaces;
use super::State;
use super::Target;
use super::scan;

impl Document {
    /// Reads a document.
    pub fn parse(body: &[u8]) -> Result<Self, BodyError> {
        match xml_body::text(body).ok().and_then(scan::document) {
            Some(document) => Ok(document),
            None => Self::read(body),
        }
    }

    /// The same, whatever the document is like.
    pub(super) fn read(body: &[u8]) -> Result<Self, BodyError> {
        let (mut body, root) = XmlBody::new(body)?;
        if root.ns != Ns::DialogInfo || root.name() != "dialog-info" {
            return Err(BodyError::Root);
        }
        let mut document = Self {
            version: match value(&root, "version")? {
                Some(version) => number(&version).ok_or(BodyError::Attribute)?,
                None => 0,
            },
            state: match value(&root, "state")? {
                Some(name) => State::ALL.into_iter().find(|state| state.name() == name.trim()).ok_or(BodyError::Attribute)?,
                None => State::Full,
            },
            entity: value(&root, "entity")?.unwrap_or_default(),
            dialogs: Vec::new(),
        };
        while let Some(child) = body.child()? {
            if child.ns != Ns::DialogInfo || child.name() != "dialog" {
                body.skip()?;
                continue;
            }
            if document.dialogs.len() >= MAX_DIALOGS {
                return Err(BodyError::TooMany);
            }
            document.add(Dialog::parse(&child, &mut body)?);
        }
        Ok(document)
    }

    /// A dialog that is there already stays as the element that knows more of it says: the later state, else what was said last.
    pub(super) fn add(&mut self, dialog: Dialog) {
        match self.dialogs.iter_mut().find(|known| known.id == dialog.id) {
            Some(known) if known.state > dialog.state => {}
            Some(known) => *known = dialog,
            None => self.dialogs.push(dialog),
        }
    }
}

impl Dialog {
    fn parse(start: &Start<'_>, body: &mut XmlBody<'_>) -> Result<Self, BodyError> {
        let id = value(start, "id")?.ok_or(BodyError::Attribute)?;
        let mut state = None;
        let mut dialog = Self {
            call_id: value(start, "call-id")?,
            local_tag: value(start, "local-tag")?,
            remote_tag: value(start, "remote-tag")?,
            direction: value(start, "direction")?
                .and_then(|name| Direction::ALL.into_iter().find(|direction| direction.name() == name.trim())),
            ..Self::new(id, DialogState::Trying)
        };
        while let Some(child) = body.child()? {
            match (child.ns, child.name()) {
                (Ns::DialogInfo, "state") => state = Some(read_state(&child, body)?),
                (Ns::DialogInfo, "duration") => dialog.duration = number(&body.text()?),
                (Ns::DialogInfo, "replaces") => {
                    dialog.replaces = Replaces::read(&child)?;
                    body.skip()?;
                }
                (Ns::DialogInfo, "referred-by") => dialog.referred_by = Some(NameAddress::parse(&child, body)?),
                (Ns::DialogInfo, "local") => dialog.local = Some(Participant::parse(body)?),
                (Ns::DialogInfo, "remote") => dialog.remote = Some(Participant::parse(body)?),
                _ => body.skip()?,
            }
        }
        dialog.state = state.ok_or(BodyError::Element)?;
        Ok(dialog)
    }
}

/// Cause and code of a dialog that is not over say nothing, and are not kept.
fn read_state(start: &Start<'_>, body: &mut XmlBody<'_>) -> Result<DialogState, BodyError> {
    let cause = value(start, "event")?.and_then(|name| Cause::from_name(&name));
    let code = value(start, "code")?.and_then(|code| code.trim().parse().ok());
    DialogState::from_name(&body.text()?, End::new(cause, code)).ok_or(BodyError::Element)
}

impl Replaces {
    fn read(start: &Start<'_>) -> Result<Option<Self>, BodyError> {
        Ok(match (value(start, "call-id")?, value(start, "local-tag")?, value(start, "remote-tag")?) {
            (Some(call_id), Some(local_tag), Some(remote_tag)) => Some(Self { call_id, local_tag, remote_tag }),
            _ => None,
        })
    }
}

impl NameAddress {
    fn parse(start: &Start<'_>, body: &mut XmlBody<'_>) -> Result<Self, BodyError> {
        Ok(Self { display: value(start, "display")?, uri: body.text()?.trim().to_owned() })
    }
}

impl Participant {
    fn parse(body: &mut XmlBody<'_>) -> Result<Self, BodyError> {
        let mut participant = Self::default();
        while let Some(child) = body.child()? {
            match (child.ns, child.name()) {
                (Ns::DialogInfo, "identity") => participant.identity = Some(NameAddress::parse(&child, body)?),
                (Ns::DialogInfo, "target") => participant.target = Some(Target::parse(&child, body)?),
                (Ns::DialogInfo, "cseq") => participant.cseq = number(&body.text()?),
                _ => body.skip()?,
            }
        }
        Ok(participant)
    }
}

impl Target {
    fn parse(start: &Start<'_>, body: &mut XmlBody<'_>) -> Result<Self, BodyError> {
        let mut target = Self { uri: value(start, "uri")?.unwrap_or_default(), parameters: Vec::new() };
        while let Some(child) = body.child()? {
            let name = if child.ns == Ns::DialogInfo && child.name() == "param" { value(&child, "pname")? } else { None };
            if let Some(name) = name.filter(|_| target.parameters.len() < MAX_PARAMETERS) {
                target.parameters.push(Parameter { name, value: value(&child, "pval")?.unwrap_or_default() });
            }
            body.skip()?;
        }
        Ok(target)
    }
}

/// The value of an attribute that is there and not empty.
fn value(start: &Start<'_>, name: &str) -> Result<Option<String>, BodyError> {
    Ok(start.attribute(name)?.filter(|value| !value.is_empty()))
}

/// RFC 4235 §4.1 has versions of 32 bits, RFC 3261 §8.1.1.5 CSeq numbers of 31; no call is longer than 136 years.
pub(super) fn number(text: &str) -> Option<u32> {
    text.trim().parse().ok()
}
