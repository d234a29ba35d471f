//! Published documents as they are read, and a memory of those that were.
//!
//! With each NOTIFY the host hands over all documents of a presentity, of which one has changed. What was read of a document depends on
//! nothing but its bytes, so it is kept with them, and found again by comparing all of them.

use std::sync::Arc;

use crate::sip::BodyError;
use crate::sip::dialog_info::Dialog;
use crate::sip::dialog_info::Document;

/// Documents that one process remembers.
const REMEMBERED: usize = 512;

/// Each has so many places beside each other, of which the next one takes the first that is free or the one that comes next.
const PLACES: usize = 4;

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
    places: Vec<Option<Place>>,
    /// How many were read.
    count: usize,
}

#[derive(Debug)]
struct Place {
    body: Box<[u8]>,
    publication: Result<Arc<Publication>, BodyError>,
}

impl Publications {
    /// Reads a document. What is wrong with it is told in the log, once as long as it is remembered.
    pub(super) fn read(&mut self, body: &[u8], key: u64) -> Option<Arc<Publication>> {
        if body.len() > MAX_REMEMBERED {
            return read(body, key).ok();
        }
        if self.places.is_empty() {
            self.places.resize_with(REMEMBERED, || None);
        }
        let first = usize::try_from(digest(body, key)).unwrap_or(0).checked_rem(REMEMBERED)?;
        let first = first.saturating_sub(first.checked_rem(PLACES)?);
        let places = self.places.get_mut(first..)?.get_mut(..PLACES)?;
        if let Some(known) = places.iter().flatten().find(|known| *known.body == *body) {
            return known.publication.clone().ok();
        }
        self.count = self.count.wrapping_add(1);
        let free = places.iter().position(Option::is_none).or(self.count.checked_rem(PLACES))?;
        let place = places.get_mut(free)?.insert(Place { body: body.into(), publication: read(body, key) });
        place.publication.clone().ok()
    }
}

fn read(body: &[u8], key: u64) -> Result<Arc<Publication>, BodyError> {
    let document =
        Document::parse(body).inspect_err(|error| log::warn!("Event dialog: a published document is left out: {error}"))?;
    let dialogs = document.dialogs.into_iter().map(|dialog| {
        let xml = dialog.element();
        Arc::new(Observed { digest: digest(xml.as_bytes(), key), dialog, xml })
    });
    Ok(Arc::new(Publication { entity: document.entity, dialogs: dialogs.collect() }))
}

/// A digest of a text that may be long: eight bytes at a time, each mixed in by a product of which both halves count. Who does not know the key
/// cannot tell which texts have the same.
fn digest(text: &[u8], key: u64) -> u64 {
    let mix = |state: u64, word: u64| {
        let product = u128::from(state ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        u64::try_from(product >> 64).unwrap_or_default() ^ u64::try_from(product & u128::from(u64::MAX)).unwrap_or_default()
    };
    let (words, rest) = text.as_chunks::<8>();
    let state = words.iter().fold(key, |state, word| mix(state, u64::from_le_bytes(*word)));
    let mut last = [0; 8];
    last.iter_mut().zip(rest).for_each(|(last, byte)| *last = *byte);
    let length = u64::try_from(text.len()).unwrap_or_default();
    mix(mix(state, u64::from_le_bytes(last)), length)
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
        let mut publications = Publications::default();
        let first = publications.read(document("early").as_bytes(), 7).unwrap();
        let again = publications.read(document("early").as_bytes(), 7).unwrap();
        assert!(Arc::ptr_eq(&first, &again));
        let other = publications.read(document("confirmed").as_bytes(), 7).unwrap();
        assert_ne!(first.dialogs[0].digest, other.dialogs[0].digest);
    }

    #[test]
    fn texts_that_differ_have_other_digests() {
        let texts = ["", "a", "ab", "ba", "abcdefgh", "abcdefgha", "abcdefgh\0", "habcdefg", "bbcdefgh"];
        for (number, one) in texts.iter().enumerate() {
            assert_ne!(digest(one.as_bytes(), 1), digest(one.as_bytes(), 2));
            assert!(texts.iter().skip(number + 1).all(|other| digest(one.as_bytes(), 1) != digest(other.as_bytes(), 1)), "{one}");
        }
    }

    #[test]
    fn what_cannot_be_read_stays_so_and_what_is_long_is_read_again() {
        let mut publications = Publications::default();
        for _ in 0..2 {
            assert!(publications.read(b"<dialog-info/>", 7).is_none());
            let long = format!("{}<!--{}-->", document("early"), "x".repeat(MAX_REMEMBERED));
            assert_eq!(publications.read(long.as_bytes(), 7).unwrap().dialogs.len(), 1);
        }
        assert_eq!(publications.places.iter().flatten().count(), 1);
    }
}
