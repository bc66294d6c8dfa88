use std::time::Duration;

use pos_domain::SHORTEST_EVENT_RETENTION;

use super::{ClaimSettings, ClientSettings};
use crate::settings::reader::Reader;

/// A day, in seconds.
const DAY: u64 = 86_400;

/// The room of what nobody needs any more.
#[derive(Debug, Clone, Copy)]
pub struct ReclaimSettings {
    /// How often a server goes round; none: never by itself.
    pub every: Option<Duration>,
    /// The most rows of one transaction.
    pub batch: u32,
    /// How long ended codes are kept.
    pub ended_codes_keep: Duration,
    /// How long windows of failures are kept, from their beginning; never shorter than a window.
    pub failures_keep: Duration,
    /// How long sessions and logouts are kept that are over.
    pub sessions_keep: Duration,
    /// How long the audit trail is kept; none: for ever. Never shorter than ended codes, which stand on its events.
    pub events_keep: Option<Duration>,
}

impl ReclaimSettings {
    pub(in crate::settings) fn read(
        reader: &mut Reader<'_>,
        claim: Option<&ClaimSettings>,
        client: Option<&ClientSettings>,
    ) -> Option<Self> {
        const YEAR: i64 = 31_536_000;
        let every = reader.seconds("reclaim.every_secs", 0..=86_400);
        let batch = reader.number("reclaim.batch", 1..=10_000);
        let ended_codes_keep = reader.seconds("reclaim.ended_codes_keep_secs", 3_600..=10 * YEAR);
        let failures_keep = reader.seconds("reclaim.failures_keep_secs", 300..=YEAR);
        let sessions_keep = reader.seconds("reclaim.sessions_keep_secs", 300..=YEAR);
        let days = reader.number::<u64>("reclaim.events_keep_days", 0..=36_500);
        for (key, window) in [
            ("claim.failure_window_secs", claim.map(|claim| claim.failure_window)),
            ("client.failure_window_secs", client.map(|client| client.failure_window)),
        ] {
            if let Some((kept, window)) = failures_keep.zip(window).filter(|(kept, window)| kept < window) {
                let problem = format!("is {}, less than {key} ({})", kept.as_secs(), window.as_secs());
                let remedy = format!("write {} or more: an open window must not be forgotten", window.as_secs());
                reader.refuse("reclaim.failures_keep_secs", problem, remedy);
            }
        }
        if let Some(days) = days.filter(|days| *days > 0) {
            let shortest = SHORTEST_EVENT_RETENTION.whole_days().unsigned_abs();
            let codes = ended_codes_keep.map_or(0, |kept| kept.as_secs().div_ceil(DAY));
            if days < shortest {
                let remedy = format!("write {shortest} or more (thirteen months), or 0 to keep it for ever");
                reader.refuse("reclaim.events_keep_days", format!("is {days}, too short for an audit trail"), remedy);
            } else if days < codes {
                let problem = format!("is {days}, less than reclaim.ended_codes_keep_secs ({codes} days)");
                let remedy = format!("write {codes} or more, or 0: ended codes stand on their events");
                reader.refuse("reclaim.events_keep_days", problem, remedy);
            }
        }
        Some(Self {
            every: Some(every?).filter(|every| !every.is_zero()),
            batch: batch?,
            ended_codes_keep: ended_codes_keep?,
            failures_keep: failures_keep?,
            sessions_keep: sessions_keep?,
            events_keep: Some(days?).filter(|days| *days > 0).map(|days| Duration::from_secs(days * DAY)),
        })
    }
}
