//! `[retention]` settings.

use std::time::Duration;

use pos_domain::device::SHORTEST_EVENT_RETENTION;

use super::{ClaimSettings, ClientSettings};
use crate::settings::reader::Reader;

/// Seconds of a day.
const DAY: u64 = 86_400;

/// Retention periods and the schedule of the purge.
#[derive(Debug, Clone, Copy)]
pub struct RetentionSettings {
    /// Interval of the purge; `None` disables it.
    pub every: Option<Duration>,
    /// Maximum rows of one transaction.
    pub batch: u32,
    /// How long past codes are stored.
    pub past_codes_keep: Duration,
    /// How long failure windows are stored after they began; never shorter than a window.
    pub failures_keep: Duration,
    /// How long ended sessions and logouts are stored.
    pub sessions_keep: Duration,
    /// Retention of the audit trail; `None` is for ever. Never shorter than that of past codes, which need its events.
    pub events_keep: Option<Duration>,
}

impl RetentionSettings {
    pub(in crate::settings) fn read(
        reader: &mut Reader<'_>,
        claim: Option<&ClaimSettings>,
        client: Option<&ClientSettings>,
    ) -> Option<Self> {
        const YEAR: i64 = 31_536_000;
        let every = reader.seconds("retention.every_secs", 0..=86_400);
        let batch = reader.number("retention.batch", 1..=10_000);
        let past_codes_keep = reader.seconds("retention.past_codes_keep_secs", 3_600..=10 * YEAR);
        let failures_keep = reader.seconds("retention.failures_keep_secs", 300..=YEAR);
        let sessions_keep = reader.seconds("retention.sessions_keep_secs", 300..=YEAR);
        let days = reader.number::<u64>("retention.events_keep_days", 0..=36_500);
        for (key, window) in [
            ("claim.failure_window_secs", claim.map(|claim| claim.failure_window)),
            ("client.failure_window_secs", client.map(|client| client.failure_window)),
        ] {
            if let Some((keep, window)) = failures_keep.zip(window).filter(|(keep, window)| keep < window) {
                let problem = format!("is {}, less than {key} ({})", keep.as_secs(), window.as_secs());
                let remedy = format!("write {} or more: an open window must not be deleted", window.as_secs());
                reader.reject("retention.failures_keep_secs", problem, remedy);
            }
        }
        if let Some(days) = days.filter(|days| *days > 0) {
            let shortest = SHORTEST_EVENT_RETENTION.whole_days().unsigned_abs();
            let codes = past_codes_keep.map_or(0, |retention| retention.as_secs().div_ceil(DAY));
            if days < shortest {
                let remedy = format!("write {shortest} or more (thirteen months), or 0 to keep it for ever");
                reader.reject("retention.events_keep_days", format!("is {days}, too short for an audit trail"), remedy);
            } else if days < codes {
                let problem = format!("is {days}, less than retention.past_codes_keep_secs ({codes} days)");
                let remedy = format!("write {codes} or more, or 0: past codes need their events");
                reader.reject("retention.events_keep_days", problem, remedy);
            }
        }
        Some(Self {
            every: Some(every?).filter(|every| !every.is_zero()),
            batch: batch?,
            past_codes_keep: past_codes_keep?,
            failures_keep: failures_keep?,
            sessions_keep: sessions_keep?,
            events_keep: Some(days?).filter(|days| *days > 0).map(|days| Duration::from_secs(days * DAY)),
        })
    }
}
