//! Claim failures of merchants and users in SQLite.

use async_trait::async_trait;
use diesel::SqliteConnection;
use diesel::prelude::*;
use pos_domain::pairing::RefusedClaim;
use pos_domain::shared::{AttemptCounts, AttemptLimit, AuditDecision, Claimant, FailureWindow};
use pos_port_storage::pairing::ClaimFailureRepository;
use pos_port_storage::shared::StorageError;

use crate::engine_error::EngineError;
use crate::rows::pairing::{FailureRow, MERCHANT, USER, attempt_counts, merchant_subject};
use crate::sqlite::instants::micros;
use crate::sqlite::schema::claim_failures;
use crate::sqlite::shared::audit_insert::insert_audit_event;
use crate::sqlite::store::SqliteStore;

fn load_attempts(connection: &mut SqliteConnection, claimant: &Claimant) -> Result<AttemptCounts, EngineError> {
    use claim_failures::dsl;
    let merchant = dsl::scope.eq(MERCHANT).and(dsl::subject.eq(merchant_subject(claimant)));
    let user = dsl::scope.eq(USER).and(dsl::subject.eq(claimant.user_id.as_str()));
    let rows = dsl::claim_failures.filter(merchant.or(user)).load::<FailureRow<i64>>(connection)?;
    Ok(attempt_counts(rows)?)
}

fn store_window(
    connection: &mut SqliteConnection,
    scope: &'static str,
    subject: &str,
    window: FailureWindow,
) -> Result<(), EngineError> {
    use claim_failures::dsl;
    diesel::replace_into(dsl::claim_failures)
        .values((
            dsl::scope.eq(scope),
            dsl::subject.eq(subject),
            dsl::window_started_at.eq(micros(window.started_at)),
            dsl::failures.eq(i64::from(window.failures)),
        ))
        .execute(connection)?;
    Ok(())
}

#[async_trait]
impl ClaimFailureRepository for SqliteStore {
    async fn attempt_counts(&self, claimant: &Claimant) -> Result<AttemptCounts, StorageError> {
        let claimant = claimant.clone();
        Ok(self.read(move |connection| load_attempts(connection, &claimant)).await?)
    }

    async fn record(&self, refused: &RefusedClaim, limit: &AttemptLimit) -> Result<AttemptCounts, StorageError> {
        let (refused, limit) = (refused.clone(), *limit);
        // The transaction holds the write lock from its start, so no other write occurs between the read and the write.
        let counted = self.write(move |connection| {
            let (by, now) = (&refused.by, refused.at);
            let before = load_attempts(connection, by)?;
            let (merchant, user) = (limit.count(before.merchant, now), limit.count(before.user, now));
            store_window(connection, MERCHANT, &merchant_subject(by), merchant)?;
            store_window(connection, USER, by.user_id.as_str(), user)?;
            let counted = AttemptCounts { merchant: Some(merchant), user: Some(user) };
            match limit.audit_decision(&counted) {
                AuditDecision::Record => insert_audit_event(connection, &refused.event())?,
                AuditDecision::RecordAsRateLimited => insert_audit_event(connection, &refused.as_too_many().event())?,
                AuditDecision::None => {}
            }
            Ok(counted)
        });
        Ok(counted.await?)
    }

    async fn record_blocked(&self, refused: &RefusedClaim, limit: &AttemptLimit) -> Result<bool, StorageError> {
        let (refused, limit) = (refused.clone(), *limit);
        let recorded = self.write(move |connection| {
            let attempt_counts = load_attempts(connection, &refused.by)?;
            let merchant = (MERCHANT, merchant_subject(&refused.by), attempt_counts.merchant);
            let user = (USER, refused.by.user_id.as_str().to_owned(), attempt_counts.user);
            let mut first = false;
            for (scope, subject, window) in [merchant, user] {
                if let Some(window) = window.filter(|window| limit.is_just_full(window, refused.at)) {
                    let counted = FailureWindow { failures: window.failures.saturating_add(1), ..window };
                    store_window(connection, scope, &subject, counted)?;
                    first = true;
                }
            }
            if first {
                insert_audit_event(connection, &refused.as_too_many().event())?;
            }
            Ok(first)
        });
        Ok(recorded.await?)
    }
}
