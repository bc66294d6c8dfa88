//! Audit and rate limit of refused rows, per party.

use std::sync::Arc;

use pos_domain::audit::{AuditEvent, AuditKind, Subject};
use pos_domain::shared::Scope;
use pos_port_storage::audit::AuditTrail;
use pos_port_storage::fleet::Import;
use pos_port_storage::shared::StorageError;
use time::{Duration, OffsetDateTime};

use crate::fleet::import_devices::{ImportError, ImportLimits};

const REFUSED: &str = "refused";

/// While an import runs, refused rows are audited as soon as there are this many.
pub(crate) const AUDIT_BATCH: u64 = 100;

/// Limit on refused rows of a party in a window. It counts the audit events, so all replicas count together and a restart
/// loses nothing. Concurrent imports do not see each other's rows.
pub(crate) struct RefusalLimit {
    pub(crate) trail: Arc<dyn AuditTrail>,
    pub(crate) limits: ImportLimits,
}

impl RefusalLimit {
    /// Returns how many more rows may be refused; `None` for an operator, who has no limit.
    ///
    /// # Errors
    /// [`ImportError::TooManyRefused`] if no more rows may be refused, [`ImportError::Storage`].
    pub(crate) async fn remaining(&self, scope: Scope, now: OffsetDateTime) -> Result<Option<u64>, ImportError> {
        let Scope::Of(party) = scope else { return Ok(None) };
        let (max, window) = (self.limits.max_refused_rows, self.limits.refusal_window);
        let events = self.trail.audit_about(&party.into(), Some(now.saturating_sub(window))).await?;
        let refusals = events.iter().map(|stored| &stored.event).filter(|event| event.kind == AuditKind::ImportRefused);
        let counts = refusals.clone().filter_map(|event| event.detail.get(REFUSED)?.parse::<u64>().ok());
        let refused = counts.fold(0, u64::saturating_add);
        if refused < max {
            return Ok(Some(max - refused));
        }
        let oldest = refusals.map(|event| event.at).min().unwrap_or(now);
        let retry_after = (oldest.saturating_add(window) - now).clamp(Duration::SECOND, window.max(Duration::SECOND));
        Err(ImportError::TooManyRefused { retry_after })
    }

    /// Audits that `refused` rows of an import were refused, except those audited before.
    pub(crate) async fn record(
        &self,
        of: &mut Refusals<'_>,
        refused: u64,
        now: OffsetDateTime,
    ) -> Result<(), StorageError> {
        let new = refused.saturating_sub(of.audited);
        if new == 0 {
            return Ok(());
        }
        let subject = match of.import.import.owner {
            Scope::Of(party) => Some(Subject::from(party)),
            Scope::Operator => None,
        };
        let event = AuditEvent {
            at: now,
            audit_context: of.import.audit_context.clone(),
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
        self.trail.record(&event).await?;
        of.audited = refused;
        Ok(())
    }
}

/// Refused rows of an import, and its file.
pub(crate) struct Refusals<'i> {
    pub(crate) import: &'i Import,
    pub(crate) file: &'i [u8; 32],
    /// Number of refused rows that this request has audited.
    pub(crate) audited: u64,
}
