//! Audit and rate limit of refused rows, for each party.

use std::sync::Arc;

use pos_domain::{AuditEvent, AuditKind, Scope, Subject};
use pos_port_storage::{AuditTrail, Import, StorageError};
use time::{Duration, OffsetDateTime};

use super::{ImportError, ImportLimits};

const REFUSED: &str = "refused";

/// So many refused rows are on record before the import that has them has ended.
pub(super) const TOLD_AT_LEAST: u64 = 100;

/// Bounds how many rows a party has refused in a window, by the audit trail: so all replicas count together, and a
/// restart forgets none. Imports that are under way at once do not see each other.
pub(super) struct RefusalLimit {
    pub(super) trail: Arc<dyn AuditTrail>,
    pub(super) limits: ImportLimits,
}

impl RefusalLimit {
    /// How many more rows may be refused now; `None`: any number, for an operator.
    ///
    /// # Errors
    /// [`ImportError::TooManyRefused`] when none may be, [`ImportError::Storage`].
    pub(super) async fn left(&self, scope: Scope, now: OffsetDateTime) -> Result<Option<u64>, ImportError> {
        let Scope::Of(party) = scope else { return Ok(None) };
        let (most, window) = (self.limits.max_refused_rows, self.limits.refusal_window);
        let events = self.trail.audit_about(&party.into(), Some(now.saturating_sub(window))).await?;
        let refusals = events.iter().map(|kept| &kept.event).filter(|event| event.kind == AuditKind::ImportRefused);
        let counts = refusals.clone().filter_map(|event| event.detail.get(REFUSED)?.parse::<u64>().ok());
        let refused = counts.fold(0, u64::saturating_add);
        if refused < most {
            return Ok(Some(most - refused));
        }
        let oldest = refusals.map(|event| event.at).min().unwrap_or(now);
        let retry_after = (oldest.saturating_add(window) - now).clamp(Duration::SECOND, window.max(Duration::SECOND));
        Err(ImportError::TooManyRefused { retry_after })
    }

    /// Puts it on record that so many rows of an import were refused, as far as it is not yet.
    pub(super) async fn tell(
        &self,
        of: &mut Refusals<'_>,
        refused: u64,
        now: OffsetDateTime,
    ) -> Result<(), StorageError> {
        let new = refused.saturating_sub(of.told);
        if new == 0 {
            return Ok(());
        }
        let subject = match of.import.import.owner {
            Scope::Of(party) => Some(Subject::from(party)),
            Scope::Operator => None,
        };
        let event = AuditEvent {
            at: now,
            act: of.import.act.clone(),
            merchant_id: None,
            kind: AuditKind::ImportRefused,
            subject,
            detail: std::collections::BTreeMap::new(),
        };
        let file: String = of.file.iter().map(|byte| format!("{byte:02x}")).collect();
        let event = event
            .with("mode", of.import.mode)
            .with("rows", of.import.rows)
            .with(REFUSED, new)
            .with("file_sha256", file);
        self.trail.tell(&event).await?;
        of.told = refused;
        Ok(())
    }
}

/// Whose rows were refused, and of which file.
pub(super) struct Refusals<'i> {
    pub(super) import: &'i Import,
    pub(super) file: &'i [u8; 32],
    /// How many are on record, by this call.
    pub(super) told: u64,
}
