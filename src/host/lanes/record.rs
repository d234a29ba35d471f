//! A task as the bytes that it is in a lane. Both ends are the same binary, so the form has no version.

use super::task::Task;
use crate::calls::Side;
use crate::calls::publisher::Name;
use crate::calls::publisher::Publication;
use crate::calls::publisher::Step;
use crate::host::publications::Operation;
use crate::sip::CallId;
use crate::sip::Dialog;
use crate::sip::Event;
use crate::sip::Headers;
use crate::sip::Message;
use crate::sip::Notify;
use crate::sip::Origin;
use crate::sip::Publish;
use crate::sip::Subscribe;
use crate::sip::Uri;
use crate::sip::Withdrawal;

const MESSAGE: u64 = 1;
const NOTIFY: u64 = 2;
const PUBLISH: u64 = 3;
const SUBSCRIBE: u64 = 4;
const JUDGE: u64 = 5;
const WITHDRAW: u64 = 7;
const CALL: u64 = 6;
/// And above it, the operation.
const STATE: u64 = 16;
/// Likewise.
const LAMP: u64 = 32;

/// Writes a task into `out`, which is cleared first: what it is, then its numbers, and each text and the body with its length. `None`:
/// a text is longer than can be said.
pub(super) fn of(task: Task<'_>, out: &mut Vec<u8>) -> Option<()> {
    out.clear();
    match task {
        Task::Message(Message { to, from, call_id, unique, max_forwards, headers, body, origin }) => {
            numbers(out, &[MESSAGE, *unique, u64::from(*max_forwards)]);
            let origin_text = |text: fn(&Origin) -> &str| origin.as_ref().map(|origin| text(origin).as_bytes());
            let fields = [
                Some(to.as_bytes()),
                Some(from.as_bytes()),
                call_id.as_deref().map(str::as_bytes),
                Some(headers.as_bytes()),
                Some(body.as_slice()),
                origin_text(|origin| &origin.from),
                origin_text(|origin| &origin.to),
                origin.as_ref().and_then(|origin| origin.id.as_deref()).map(str::as_bytes),
            ];
            texts(out, &fields)
        }
        Task::Notify(Notify { number, dialog, cseq, headers, body }) => {
            numbers(out, &[NOTIFY, *number, u64::from(*cseq)]);
            texts(out, &[Some(dialog.as_text().as_bytes()), Some(headers.as_bytes()), Some(body)])
        }
        Task::Publish(publish) => publication(out, PUBLISH, publish),
        Task::Call(Publication { name, publish, step }) => {
            let (step, side) = (number_of_step(*step), u64::from(name.side == Side::Callee));
            numbers(out, &[CALL, name.call, u64::from(name.branch), side, step, u64::from(publish.expires)]);
            publication_texts(out, publish)
        }
        Task::State(publish, operation) => publication(out, STATE.wrapping_add(number_of(operation)), publish),
        Task::Lamp(publish, operation) => publication(out, LAMP.wrapping_add(number_of(operation)), publish),
        Task::Subscribe(Subscribe { event, presentity, watcher, expires }) => {
            let event = match event {
                Event::Presence => 0,
                Event::PresenceWinfo => 1,
            };
            numbers(out, &[SUBSCRIBE, event, u64::from(*expires)]);
            texts(out, &[Some(presentity.as_bytes()), Some(watcher.as_bytes())])
        }
        Task::Withdraw(Withdrawal { presentity, entity_tag }) => {
            numbers(out, &[WITHDRAW]);
            texts(out, &[Some(presentity.as_bytes()), Some(entity_tag.as_bytes())])
        }
        Task::Judge(presentity) => {
            numbers(out, &[JUDGE]);
            texts(out, &[Some(presentity.as_bytes())])
        }
    }
}

fn publication(out: &mut Vec<u8>, kind: u64, publish: &Publish) -> Option<()> {
    numbers(out, &[kind, u64::from(publish.expires)]);
    publication_texts(out, publish)
}

fn publication_texts(out: &mut Vec<u8>, Publish { presentity, id, body, .. }: &Publish) -> Option<()> {
    texts(out, &[Some(presentity.as_bytes()), Some(id.as_bytes()), body.as_deref()])
}

fn number_of(operation: Operation) -> u64 {
    match operation {
        Operation::Initial => 0,
        Operation::Adopt => 1,
        Operation::Modify => 2,
        Operation::Refresh => 3,
        Operation::Remove => 4,
        Operation::Expire => 5,
    }
}

fn number_of_step(step: Step) -> u64 {
    match step {
        Step::Initial => 0,
        Step::Adopt => 1,
        Step::Modify => 2,
        Step::Refresh => 3,
    }
}

fn step(number: u64) -> Option<Step> {
    match number {
        0 => Some(Step::Initial),
        1 => Some(Step::Adopt),
        2 => Some(Step::Modify),
        3 => Some(Step::Refresh),
        _ => None,
    }
}

fn operation(number: u64) -> Option<Operation> {
    match number {
        0 => Some(Operation::Initial),
        1 => Some(Operation::Adopt),
        2 => Some(Operation::Modify),
        3 => Some(Operation::Refresh),
        4 => Some(Operation::Remove),
        5 => Some(Operation::Expire),
        _ => None,
    }
}

fn numbers(out: &mut Vec<u8>, numbers: &[u64]) {
    numbers.iter().for_each(|number| out.extend_from_slice(&number.to_ne_bytes()));
}

/// The length of a text that is absent.
const ABSENT: u32 = u32::MAX;

fn texts(out: &mut Vec<u8>, texts: &[Option<&[u8]>]) -> Option<()> {
    for text in texts {
        let length = text.map_or(Some(ABSENT), |text| u32::try_from(text.len()).ok())?;
        out.extend_from_slice(&length.to_ne_bytes());
        out.extend_from_slice(text.unwrap_or_default());
    }
    Some(())
}

/// Does with the task of a record; `None` if it is none.
pub(super) fn with(record: &[u8], act: impl FnOnce(Task<'_>)) -> Option<()> {
    let mut fields = Fields { rest: record };
    match fields.number()? {
        MESSAGE => act(Task::Message(&fields.message()?)),
        NOTIFY => act(Task::Notify(&fields.notify()?)),
        PUBLISH => act(Task::Publish(&fields.publish()?)),
        SUBSCRIBE => act(Task::Subscribe(&fields.subscribe()?)),
        CALL => act(Task::Call(&fields.call()?)),
        JUDGE => act(Task::Judge(&fields.uri()?)),
        WITHDRAW => act(Task::Withdraw(&Withdrawal { presentity: fields.uri()?, entity_tag: fields.optional_text()?? })),
        lamp @ LAMP.. => {
            let operation = operation(lamp.checked_sub(LAMP)?)?;
            act(Task::Lamp(&fields.publish()?, operation));
        }
        state => {
            let operation = operation(state.checked_sub(STATE)?)?;
            act(Task::State(&fields.publish()?, operation));
        }
    }
    Some(())
}

struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    fn message(&mut self) -> Option<Message> {
        let (unique, max_forwards) = (self.number()?, u8::try_from(self.number()?).ok()?);
        let (to, from) = (self.uri()?, self.uri()?);
        let call_id = self.optional_text()?.and_then(CallId::new);
        let (headers, body) = (self.headers()?, self.bytes()??.to_vec());
        let (origin_from, origin_to, id) = (self.optional_text()?, self.optional_text()?, self.optional_text()?);
        let origin = origin_from.zip(origin_to).map(|(from, to)| Origin { from, to, id });
        Some(Message { to, from, call_id, unique, max_forwards, headers, body, origin })
    }

    fn notify(&mut self) -> Option<Notify> {
        let (number, cseq) = (self.number()?, u32::try_from(self.number()?).ok()?);
        let dialog = Dialog::of(str::from_utf8(self.bytes()??).ok()?)?;
        Some(Notify { number, dialog, cseq, headers: self.headers()?, body: self.bytes()??.to_vec() })
    }

    fn publish(&mut self) -> Option<Publish> {
        let expires = u32::try_from(self.number()?).ok()?;
        let (presentity, id) = (self.uri()?, self.optional_text()??);
        Some(Publish { presentity, id, body: self.bytes()?.map(<[u8]>::to_vec), expires })
    }

    fn call(&mut self) -> Option<Publication> {
        let (call, branch) = (self.number()?, u16::try_from(self.number()?).ok()?);
        let side = if self.number()? == 0 { Side::Caller } else { Side::Callee };
        Some(Publication { name: Name { call, branch, side }, step: step(self.number()?)?, publish: self.publish()? })
    }

    fn subscribe(&mut self) -> Option<Subscribe> {
        let event = if self.number()? == 0 { Event::Presence } else { Event::PresenceWinfo };
        let expires = u32::try_from(self.number()?).ok()?;
        Some(Subscribe { event, presentity: self.uri()?, watcher: self.uri()?, expires })
    }

    fn number(&mut self) -> Option<u64> {
        let (number, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(u64::from_ne_bytes(*number))
    }

    fn uri(&mut self) -> Option<Uri> {
        Uri::new(self.optional_text()??)
    }

    fn headers(&mut self) -> Option<Headers> {
        Headers::of(self.optional_text()??)
    }

    fn optional_text(&mut self) -> Option<Option<String>> {
        match self.bytes()? {
            None => Some(None),
            Some(bytes) => str::from_utf8(bytes).ok().map(|text| Some(text.to_owned())),
        }
    }

    fn bytes(&mut self) -> Option<Option<&'a [u8]>> {
        let (length, rest) = self.rest.split_first_chunk()?;
        let (bytes, rest) = match u32::from_ne_bytes(*length) {
            ABSENT => (None, rest),
            length => rest.split_at_checked(usize::try_from(length).ok()?).map(|(bytes, rest)| (Some(bytes), rest))?,
        };
        self.rest = rest;
        Some(bytes)
    }
}
