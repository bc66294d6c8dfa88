//! Claim failures of merchants and users in PostgreSQL.

use async_trait::async_trait;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use pos_domain::pairing::RefusedClaim;
use pos_domain::shared::{AttemptCounts, AttemptLimit, Claimant};
use pos_port_storage::pairing::ClaimFailureRepository;
use pos_port_storage::shared::StorageError;
use time::OffsetDateTime;

use crate::postgres::pairing::refusals::{CountFailure, RecordBlocked};
use crate::postgres::schema::claim_failures;
use crate::postgres::store::PgStore;
use crate::rows::pairing::{FailureRow, MERCHANT, USER, attempt_counts, merchant_subject};

#[async_trait]
impl ClaimFailureRepository for PgStore {
    async fn attempt_counts(&self, claimant: &Claimant) -> Result<AttemptCounts, StorageError> {
        use claim_failures::dsl;
        let merchant = dsl::scope.eq(MERCHANT).and(dsl::subject.eq(merchant_subject(claimant)));
        let user = dsl::scope.eq(USER).and(dsl::subject.eq(claimant.user_id.as_str()));
        let query = dsl::claim_failures.filter(merchant.or(user));
        let rows: Vec<FailureRow<OffsetDateTime>> = self.run(async |connection| query.load(connection).await).await?;
        Ok(attempt_counts(rows)?)
    }

    async fn record(&self, refused: &RefusedClaim, limit: &AttemptLimit) -> Result<AttemptCounts, StorageError> {
        let statement = CountFailure::of(refused, limit);
        let rows: Vec<FailureRow<OffsetDateTime>> =
            self.run(async |connection| statement.load(connection).await).await?;
        Ok(attempt_counts(rows)?)
    }

    async fn record_blocked(&self, refused: &RefusedClaim, limit: &AttemptLimit) -> Result<bool, StorageError> {
        let statement = RecordBlocked::of(refused, limit);
        let recorded: i64 = self.run(async |connection| statement.get_result(connection).await).await?;
        Ok(recorded > 0)
    }
}
