//! The fake takes back room: one lock is one transaction, and nobody else is in a batch.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

use async_trait::async_trait;
use pos_domain::{DeviceEvent, DeviceEventKind, DeviceId, EventAnchor, events_reclaimed, first_needed_event};
use time::OffsetDateTime;

use crate::in_memory::{Tables, most};
use crate::{
    EventMark, InMemoryStore, KeptAuditEvent, ReclaimBatch, Reclaimable, Reclaimed, ReclaimedBatch, Reclaiming,
    StorageError,
};

/// Removes the oldest entries that are over, at most so many; answers how many went.
fn sweep<K: Clone + Eq + Hash, V>(
    table: &mut HashMap<K, V>,
    instant: impl Fn(&V) -> OffsetDateTime,
    before: OffsetDateTime,
    limit: u32,
) -> u64 {
    let over = table.iter().map(|(key, row)| (instant(row), key.clone())).filter(|(at, _)| *at <= before);
    let mut over: Vec<_> = over.collect();
    over.sort_by_key(|(at, _)| *at);
    over.truncate(most(limit));
    over.iter().filter(|(_, key)| table.remove(key).is_some()).count() as u64
}

fn mark(event: &DeviceEvent) -> EventMark {
    EventMark { at: event.at, device_id: event.device_id.clone(), sequence: event.sequence }
}

impl Tables {
    /// The first sequence of a device that must stay, whatever its age.
    fn first_kept(&self, id: &DeviceId) -> u64 {
        let its = || self.events.iter().filter(|event| event.device_id == *id);
        let last_claim = its().filter(|event| event.kind == DeviceEventKind::Claimed).map(|event| event.sequence).max();
        let needed =
            self.devices.get(id).map_or(0, |device| first_needed_event(device.status(), device.version(), last_claim));
        let ended =
            self.ended_codes.iter().filter(|(_, ended)| ended.device_id == *id).map(|(sequence, _)| *sequence).min();
        ended.map_or(needed, |ended| ended.min(needed))
    }

    fn reclaim_events(&mut self, batch: &ReclaimBatch) -> ReclaimedBatch {
        let unseen = |event: &&DeviceEvent| batch.after.as_ref().is_none_or(|after| mark(event) > *after);
        let mut page: Vec<_> =
            self.events.iter().filter(|event| event.at <= batch.before).filter(unseen).map(mark).collect();
        page.sort();
        page.truncate(most(batch.at_most));
        let mut bounds = BTreeMap::new();
        for seen in &page {
            let bound = bounds.entry(seen.device_id.clone()).or_insert(0);
            *bound = seen.sequence.max(*bound);
        }
        let mut removed = Vec::new();
        for (id, passed) in bounds {
            let bound = passed.min(self.first_kept(&id));
            let goes = |event: &&DeviceEvent| event.device_id == id && event.sequence < bound;
            let mut events: Vec<_> = self.events.iter().filter(goes).cloned().collect();
            events.sort_by_key(|event| event.sequence);
            events.truncate(most(batch.at_most) - removed.len());
            removed.extend(events);
        }
        for event in &removed {
            self.events.retain(|kept| mark(kept) != mark(event));
            let EventAnchor { through, hash, .. } = self
                .anchors
                .entry(event.device_id.clone())
                .or_insert_with(|| EventAnchor { device_id: event.device_id.clone(), through: 0, hash: None });
            *through = event.sequence;
            *hash = event.hash.or(*hash);
        }
        let (looked, went) = (page.len(), removed.len());
        let cut_short = went == most(batch.at_most);
        let through = if cut_short { batch.after.clone() } else { page.pop().or_else(|| batch.after.clone()) };
        ReclaimedBatch { removed: went as u64, more: cut_short || looked == most(batch.at_most), through }
    }
}

#[async_trait]
impl Reclaiming for InMemoryStore {
    async fn reclaim(&self, batch: &ReclaimBatch) -> Result<Reclaimed, StorageError> {
        let ReclaimBatch { what, before, at_most, now, .. } = batch.clone();
        if what == Reclaimable::Imports {
            return Ok(done(self.remove_imports(before, at_most), at_most));
        }
        let mut tenancy = self.tenancy();
        let mut tables = self.tables();
        Ok(match what {
            Reclaimable::EndedCodes => {
                tables.ended_codes.sort_by_key(|(_, ended)| ended.at);
                let over = tables.ended_codes.iter().take_while(|(_, ended)| ended.at <= before).count();
                done(tables.ended_codes.drain(..over.min(most(at_most))).count() as u64, at_most)
            }
            Reclaimable::ClaimFailures => {
                let merchants = sweep(&mut tables.merchant_failures, |window| window.started_at, before, at_most);
                let left = at_most.saturating_sub(u32::try_from(merchants).unwrap_or(u32::MAX));
                let users = sweep(&mut tables.user_failures, |window| window.started_at, before, left);
                done(merchants + users, at_most)
            }
            Reclaimable::ClientFailures => {
                done(sweep(&mut tenancy.failures, |window| window.started_at, before, at_most), at_most)
            }
            Reclaimable::Sessions => {
                done(sweep(&mut tenancy.sessions, |session| session.ends_at, before, at_most), at_most)
            }
            Reclaimable::Logouts => {
                let sessions = sweep(&mut tenancy.session_logouts, |(_, until)| *until, before, at_most);
                let left = at_most.saturating_sub(u32::try_from(sessions).unwrap_or(u32::MAX));
                done(sessions + sweep(&mut tenancy.user_logouts, |(_, until)| *until, before, left), at_most)
            }
            Reclaimable::EndedTokens => {
                done(sweep(&mut tenancy.ended_tokens, |(_, until)| *until, before, at_most), at_most)
            }
            Reclaimable::Answers => done(sweep(&mut tenancy.answers, |once| once.keep_until, before, at_most), at_most),
            Reclaimable::Imports => done(0, at_most),
            Reclaimable::DeviceEvents => {
                let gone = tables.reclaim_events(batch);
                if gone.removed > 0 {
                    tables.tell(events_reclaimed(what.as_str(), gone.removed, before, now));
                }
                Reclaimed::Done(gone)
            }
            Reclaimable::AuditEvents => {
                tables.audit.sort_by_key(|kept| (kept.event.at, kept.number));
                let goes = |kept: &KeptAuditEvent| kept.event.at <= before && !kept.event.kind.is_kept_for_ever();
                let going = tables.audit.iter().filter(|kept| goes(kept)).take(most(at_most));
                let going: Vec<_> = going.map(|kept| kept.number).collect();
                tables.audit.retain(|kept| !going.contains(&kept.number));
                let removed = going.len() as u64;
                if removed > 0 {
                    tables.tell(events_reclaimed(what.as_str(), removed, before, now));
                }
                done(removed, at_most)
            }
        })
    }

    async fn reclaimable(&self, what: Reclaimable, before: OffsetDateTime, at_most: u32) -> Result<u64, StorageError> {
        if what == Reclaimable::Imports {
            return Ok(self.count_imports(before).min(at_most.into()));
        }
        let tenancy = self.tenancy();
        let tables = self.tables();
        let is_over = |at: &OffsetDateTime| *at <= before;
        let count = match what {
            Reclaimable::EndedCodes => tables.ended_codes.iter().map(|(_, ended)| ended.at).filter(is_over).count(),
            Reclaimable::ClaimFailures => {
                let windows = tables.merchant_failures.values().chain(tables.user_failures.values());
                windows.map(|window| window.started_at).filter(is_over).count()
            }
            Reclaimable::ClientFailures => {
                tenancy.failures.values().map(|window| window.started_at).filter(is_over).count()
            }
            Reclaimable::Sessions => tenancy.sessions.values().map(|session| session.ends_at).filter(is_over).count(),
            Reclaimable::Logouts => {
                let kept =
                    tenancy.session_logouts.values().chain(tenancy.user_logouts.values()).map(|(_, until)| until);
                kept.filter(|until| is_over(until)).count()
            }
            Reclaimable::EndedTokens => tenancy.ended_tokens.values().filter(|(_, until)| is_over(until)).count(),
            Reclaimable::Answers => tenancy.answers.values().map(|once| once.keep_until).filter(is_over).count(),
            Reclaimable::Imports => 0,
            Reclaimable::DeviceEvents => {
                let old = || tables.events.iter().filter(|event| is_over(&event.at));
                let goes = |event: &&DeviceEvent| {
                    event.sequence < tables.first_kept(&event.device_id)
                        && old().any(|later| later.device_id == event.device_id && later.sequence > event.sequence)
                };
                old().filter(goes).count()
            }
            Reclaimable::AuditEvents => {
                let goes = |kept: &&KeptAuditEvent| is_over(&kept.event.at) && !kept.event.kind.is_kept_for_ever();
                tables.audit.iter().filter(goes).count()
            }
        };
        Ok((count as u64).min(at_most.into()))
    }
}

fn done(removed: u64, at_most: u32) -> Reclaimed {
    Reclaimed::Done(ReclaimedBatch { removed, more: removed > 0 && removed >= at_most.into(), through: None })
}
