//! Dialogs over a restart. Their watchers were told the state before, so nothing is said anew; the XMPP user is probed when the stream stands,
//! and what comes of it goes on in the same dialogs, with higher CSeqs.

use super::Notifier;
use super::dialog::Dialog;
use super::dialog::Lasts;
use super::virtual_subscription::Pair;
use super::virtual_subscription::Phase;
use super::virtual_subscription::VirtualSubscription;
use crate::gateway::kept::Clock;
use crate::gateway::kept::DialogKey;
use crate::sip;
use crate::sip::Package;
use crate::store::entry;

/// NOTIFYs that a dialog may have in a second without the store knowing of it: one that is restored twice between two changes of its row
/// begins higher the second time.
const CSEQS_A_SECOND: u64 = 256;

impl Notifier {
    /// What is to be kept of a dialog.
    pub(in crate::gateway) fn entry(&mut self, clock: Clock, dialog: &sip::Dialog) -> Option<entry::Dialog> {
        let number = self.number_of(dialog)?;
        let known = self.dialogs.get_mut(&number).filter(|known| known.lasts == Lasts::Lasting && known.end.is_none())?;
        let is_active = self.known.get(&known.pair)?.phase == Phase::Active;
        let (remote_cseq, cseq) = known.kept();
        Some(entry::Dialog {
            dialog: known.sip.clone(),
            watcher: known.pair.watcher().to_owned(),
            presentity: known.pair.presentity().to_owned(),
            is_active,
            remote_cseq,
            cseq,
            written: clock.seconds(),
            expires: clock.seconds_at(known.expires.instant(self.began)),
        })
    }

    /// Takes one back. False: it has run out, or there is no place for it.
    pub(in crate::gateway) fn restore(&mut self, clock: Clock, kept: entry::Dialog) -> bool {
        let Some(expires) = clock.instant_at(kept.expires).map(|expires| self.moment(expires)) else { return false };
        let pair = Pair::new(&kept.watcher, &kept.presentity);
        if self.number_of(&kept.dialog).is_some() {
            return true;
        }
        if !self.bounds.take(&pair) {
            return false;
        }
        let pair = self.known.get_key_value(&pair).map_or(pair, |(pair, _)| pair.clone());
        self.last = self.last.wrapping_add(1);
        let number = self.last;
        let phase = if kept.is_active { Phase::Active } else { Phase::Pending };
        let known = self.known.entry(pair.clone()).or_insert_with(|| VirtualSubscription::restored(phase).into());
        known.dialogs.push(number);
        let told = match kept.dialog.package() {
            Package::Presence => known.version,
            Package::Dialog => known.lamp_version(self.lights.as_ref()),
        };
        let since = clock.seconds().saturating_sub(kept.written).saturating_add(1).saturating_mul(CSEQS_A_SECOND);
        let cseq = u64::from(kept.cseq).saturating_add(since).min(MOST_CSEQ);
        let cseqs = (kept.remote_cseq, u32::try_from(cseq).unwrap_or(u32::MAX));
        self.numbers.insert(self.digest(&kept.dialog), number);
        self.dialogs.insert(number, Dialog::restored((kept.dialog, pair), cseqs, expires, told).into());
        self.look_again(number);
        true
    }

    /// A dialog has begun or changed.
    pub(super) fn keep(&mut self, number: u64) {
        if let Some(dialog) = self.dialogs.get(&number).filter(|dialog| dialog.lasts == Lasts::Lasting) {
            self.changes.note(|| DialogKey(dialog.sip.clone()));
        }
    }
}

/// RFC 3261 §8.1.1.5: less than 2^31.
const MOST_CSEQ: u64 = (1 << 31) - 1;
