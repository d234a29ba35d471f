//! Published documents as they are read, and a memory of those that were.
//!
//! With each NOTIFY the host hands over all documents of a presentity, of which one has changed. What was read of a document depends on
//! nothing but its bytes, so it is kept with them, and found again by comparing all of them.

use std::hash::BuildHasher;
use std::hash::RandomState;
use std::sync::Arc;

use crate::sip::BodyError;
use crate::sip::dialog_info::Dialog;
use crate::sip::dialog_info::Document;

/// Documents that one process remembers.
const REMEMBERED: usize = 512;

/// A longer one is read each time.
const MAX_REMEMBERED: usize = 4096;

/// A document that was published.
#[derive(Debug)]
pub(super) struct Publication {
    /// Whose dialogs they are, as it says.
    pub(super) entity: String,
    pub(super) dialogs: Vec<Arc<Observed>>,
}

/// A dialog, as one document has it.
#[derive(Debug)]
pub(super) struct Observed {
    pub(super) dialog: Dialog,
    /// As it is written.
    pub(super) xml: String,
    /// A digest of that.
    pub(super) digest: u64,
}

/// The memory of one process.
#[derive(Debug, Default)]
pub(super) struct Publications {
    keys: RandomState,
    /// Each has one place, which the next one takes.
    places: Vec<Option<Place>>,
}

#[derive(Debug)]
struct Place {
    body: Box<[u8]>,
    publication: Result<Arc<Publication>, BodyError>,
}

impl Publications {
    /// Reads a document. What is wrong with it is told in the log, once as long as it is remembered.
    pub(super) fn read(&mut self, body: &[u8], digests: &RandomState) -> Option<Arc<Publication>> {
        if body.len() > MAX_REMEMBERED {
            return read(body, digests).ok();
        }
        if self.places.is_empty() {
            self.places.resize_with(REMEMBERED, || None);
        }
        let place = usize::try_from(self.keys.hash_one(body)).unwrap_or(0).checked_rem(REMEMBERED)?;
        let place = self.places.get_mut(place)?;
        match place {
            Some(place) if *place.body == *body => place.publication.clone().ok(),
            _ => place.insert(Place { body: body.into(), publication: read(body, digests) }).publication.clone().ok(),
        }
    }
}

fn read(body: &[u8], digests: &RandomState) -> Result<Arc<Publication>, BodyError> {
    let document =
        Document::parse(body).inspect_err(|error| log::warn!("Event dialog: a published document is left out: {error}"))?;
    let dialogs = document.dialogs.into_iter().map(|dialog| {
        let xml = dialog.element();
        Arc::new(Observed { digest: digests.hash_one(&xml), dialog, xml })
    });
    Ok(Arc::new(Publication { entity: document.entity, dialogs: dialogs.collect() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(state: &str) -> String {
        format!(
            "<dialog-info xmlns='urn:ietf:params:xml:ns:dialog-info' entity='sip:a@b'><dialog id='1'><state>{state}</state></dialog></dialog-info>"
        )
    }

    #[test]
    fn a_document_is_read_once() {
        let (mut publications, digests) = (Publications::default(), RandomState::new());
        let first = publications.read(document("early").as_bytes(), &digests).unwrap();
        let again = publications.read(document("early").as_bytes(), &digests).unwrap();
        assert!(Arc::ptr_eq(&first, &again));
        let other = publications.read(document("confirmed").as_bytes(), &digests).unwrap();
        assert_ne!(first.dialogs[0].digest, other.dialogs[0].digest);
    }

    #[test]
    fn what_cannot_be_read_stays_so_and_what_is_long_is_read_again() {
        let (mut publications, digests) = (Publications::default(), RandomState::new());
        for _ in 0..2 {
            assert!(publications.read(b"<dialog-info/>", &digests).is_none());
            let long = format!("{}<!--{}-->", document("early"), "x".repeat(MAX_REMEMBERED));
            assert_eq!(publications.read(long.as_bytes(), &digests).unwrap().dialogs.len(), 1);
        }
        assert_eq!(publications.places.iter().flatten().count(), 1);
    }
}
