//! In-memory fake of the purge: one lock is one transaction, and there is no other replica.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

use async_trait::async_trait;
use pos_domain::audit::events_purged;
use pos_domain::device::{ChainCheckpoint, DeviceEvent, DeviceEventKind, first_needed_event};
use pos_domain::shared::DeviceId;
use time::OffsetDateTime;

use crate::InMemoryStore;
use crate::audit::{ExpiredKind, PurgeBatch, Purged, PurgedBatch, RetentionRepository, StoredAuditEvent};
use crate::device::EventPosition;
use crate::in_memory::{Tables, max_rows};
use crate::shared::StorageError;

/// Removes the oldest expired entries, at most `limit`, and returns their number.
fn purge_map<K: Clone + Eq + Hash, V>(
    table: &mut HashMap<K, V>,
    instant: impl Fn(&V) -> OffsetDateTime,
    before: OffsetDateTime,
    limit: u32,
) -> u64 {
    let expired = table.iter().map(|(key, row)| (instant(row), key.clone())).filter(|(at, _)| *at <= before);
    let mut expired: Vec<_> = expired.collect();
    expired.sort_by_key(|(at, _)| *at);
    expired.truncate(max_rows(limit));
    expired.iter().filter(|(_, key)| table.remove(key).is_some()).count() as u64
}

fn position(event: &DeviceEvent) -> EventPosition {
    EventPosition { at: event.at, device_id: event.device_id.clone(), sequence: event.sequence }
}

impl Tables {
    /// Returns the first sequence of a device that is retained whatever its age.
    fn first_retained(&self, id: &DeviceId) -> u64 {
        let events = || self.events.iter().filter(|event| event.device_id == *id);
        let claims = events().filter(|event| event.kind == DeviceEventKind::Claimed);
        let last_claim = claims.map(|event| event.sequence).max();
        let needed =
            self.devices.get(id).map_or(0, |device| first_needed_event(device.status(), device.version(), last_claim));
        let past_codes = self.past_codes.iter().filter(|(_, past)| past.device_id == *id);
        past_codes.map(|(sequence, _)| *sequence).min().map_or(needed, |sequence| sequence.min(needed))
    }

    fn purge_events(&mut self, batch: &PurgeBatch) -> PurgedBatch {
        let unexamined = |event: &&DeviceEvent| batch.after.as_ref().is_none_or(|after| position(event) > *after);
        let mut page: Vec<_> =
            self.events.iter().filter(|event| event.at <= batch.before).filter(unexamined).map(position).collect();
        page.sort();
        page.truncate(max_rows(batch.at_most));
        let mut bounds = BTreeMap::new();
        for examined in &page {
            let bound = bounds.entry(examined.device_id.clone()).or_insert(0);
            *bound = examined.sequence.max(*bound);
        }
        let mut removed = Vec::new();
        for (id, examined) in bounds {
            let bound = examined.min(self.first_retained(&id));
            let is_purgeable = |event: &&DeviceEvent| event.device_id == id && event.sequence < bound;
            let mut events: Vec<_> = self.events.iter().filter(is_purgeable).cloned().collect();
            events.sort_by_key(|event| event.sequence);
            events.truncate(max_rows(batch.at_most) - removed.len());
            removed.extend(events);
        }
        for event in &removed {
            self.events.retain(|stored| position(stored) != position(event));
            let ChainCheckpoint { through, hash, .. } = self
                .chain_checkpoints
                .entry(event.device_id.clone())
                .or_insert_with(|| ChainCheckpoint { device_id: event.device_id.clone(), through: 0, hash: None });
            *through = event.sequence;
            *hash = event.hash.or(*hash);
        }
        let (examined, purged) = (page.len(), removed.len());
        let limit_reached = purged == max_rows(batch.at_most);
        let through = if limit_reached { batch.after.clone() } else { page.pop().or_else(|| batch.after.clone()) };
        PurgedBatch { removed: purged as u64, more: limit_reached || examined == max_rows(batch.at_most), through }
    }
}

#[async_trait]
impl RetentionRepository for InMemoryStore {
    async fn purge(&self, batch: &PurgeBatch) -> Result<Purged, StorageError> {
        let PurgeBatch { what, before, at_most, now, .. } = batch.clone();
        if what == ExpiredKind::Imports {
            return Ok(done(self.remove_imports(before, at_most), at_most));
        }
        let mut tenancy = self.tenancy();
        let mut tables = self.tables();
        Ok(match what {
            ExpiredKind::PastCodes => {
                tables.past_codes.sort_by_key(|(_, past)| past.at);
                let expired = tables.past_codes.iter().take_while(|(_, past)| past.at <= before).count();
                done(tables.past_codes.drain(..expired.min(max_rows(at_most))).count() as u64, at_most)
            }
            ExpiredKind::ClaimFailures => {
                let merchants = purge_map(&mut tables.merchant_failures, |window| window.started_at, before, at_most);
                let left = at_most.saturating_sub(u32::try_from(merchants).unwrap_or(u32::MAX));
                let users = purge_map(&mut tables.user_failures, |window| window.started_at, before, left);
                done(merchants + users, at_most)
            }
            ExpiredKind::ClientFailures => {
                done(purge_map(&mut tenancy.failures, |window| window.started_at, before, at_most), at_most)
            }
            ExpiredKind::Sessions => {
                done(purge_map(&mut tenancy.sessions, |session| session.ends_at, before, at_most), at_most)
            }
            ExpiredKind::Logouts => {
                let sessions = purge_map(&mut tenancy.session_logouts, |(_, until)| *until, before, at_most);
                let left = at_most.saturating_sub(u32::try_from(sessions).unwrap_or(u32::MAX));
                done(sessions + purge_map(&mut tenancy.user_logouts, |(_, until)| *until, before, left), at_most)
            }
            ExpiredKind::RevokedTokens => {
                done(purge_map(&mut tenancy.revoked_tokens, |(_, until)| *until, before, at_most), at_most)
            }
            ExpiredKind::Idempotency => {
                done(purge_map(&mut tenancy.idempotency, |stored| stored.expires_at, before, at_most), at_most)
            }
            ExpiredKind::Imports => done(0, at_most),
            ExpiredKind::DeviceEvents => {
                let purged = tables.purge_events(batch);
                if purged.removed > 0 {
                    tables.insert_audit_event(events_purged(what.as_str(), purged.removed, before, now));
                }
                Purged::Done(purged)
            }
            ExpiredKind::AuditEvents => {
                tables.audit.sort_by_key(|stored| (stored.event.at, stored.number));
                let is_purgeable =
                    |stored: &StoredAuditEvent| stored.event.at <= before && !stored.event.kind.is_permanent();
                let purgeable = tables.audit.iter().filter(|stored| is_purgeable(stored)).take(max_rows(at_most));
                let purged: Vec<_> = purgeable.map(|stored| stored.number).collect();
                tables.audit.retain(|stored| !purged.contains(&stored.number));
                let removed = purged.len() as u64;
                if removed > 0 {
                    tables.insert_audit_event(events_purged(what.as_str(), removed, before, now));
                }
                done(removed, at_most)
            }
        })
    }

    async fn count_expired(
        &self,
        what: ExpiredKind,
        before: OffsetDateTime,
        at_most: u32,
    ) -> Result<u64, StorageError> {
        if what == ExpiredKind::Imports {
            return Ok(self.count_imports(before).min(at_most.into()));
        }
        let tenancy = self.tenancy();
        let tables = self.tables();
        let is_expired = |at: &OffsetDateTime| *at <= before;
        let count = match what {
            ExpiredKind::PastCodes => tables.past_codes.iter().map(|(_, past)| past.at).filter(is_expired).count(),
            ExpiredKind::ClaimFailures => {
                let windows = tables.merchant_failures.values().chain(tables.user_failures.values());
                windows.map(|window| window.started_at).filter(is_expired).count()
            }
            ExpiredKind::ClientFailures => {
                tenancy.failures.values().map(|window| window.started_at).filter(is_expired).count()
            }
            ExpiredKind::Sessions => {
                tenancy.sessions.values().map(|session| session.ends_at).filter(is_expired).count()
            }
            ExpiredKind::Logouts => {
                let logouts = tenancy.session_logouts.values().chain(tenancy.user_logouts.values());
                logouts.filter(|(_, until)| is_expired(until)).count()
            }
            ExpiredKind::RevokedTokens => {
                tenancy.revoked_tokens.values().filter(|(_, until)| is_expired(until)).count()
            }
            ExpiredKind::Idempotency => {
                tenancy.idempotency.values().map(|stored| stored.expires_at).filter(is_expired).count()
            }
            ExpiredKind::Imports => 0,
            ExpiredKind::DeviceEvents => {
                let old = || tables.events.iter().filter(|event| is_expired(&event.at));
                let is_purgeable = |event: &&DeviceEvent| {
                    event.sequence < tables.first_retained(&event.device_id)
                        && old().any(|later| later.device_id == event.device_id && later.sequence > event.sequence)
                };
                old().filter(is_purgeable).count()
            }
            ExpiredKind::AuditEvents => {
                let is_purgeable =
                    |stored: &&StoredAuditEvent| is_expired(&stored.event.at) && !stored.event.kind.is_permanent();
                tables.audit.iter().filter(is_purgeable).count()
            }
        };
        Ok((count as u64).min(at_most.into()))
    }
}

fn done(removed: u64, at_most: u32) -> Purged {
    Purged::Done(PurgedBatch { removed, more: removed > 0 && removed >= at_most.into(), through: None })
}
