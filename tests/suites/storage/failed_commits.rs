//! Writes whose commit fails after the database returned their rows: each returns an error.

use pos_domain::audit::{AuditEvent, AuditKind, Subject};
use pos_domain::pairing::{RefusedClaim, RefusedClaimReason};
use pos_domain::shared::Claimant;
use pos_domain::shared::{AttemptLimit, AuditContext, MerchantId, Name, RequestContext, ResellerId, UserId};
use pos_domain::tenancy::Reseller;
use pos_port_storage::tenancy::Logout;
use pos_tests::stores::TestStore;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

async fn a_failed_commit_returns_an_error(store: TestStore) {
    let client = store.client().await;
    client
        .batch_execute("CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE ''refused''; END'")
        .await
        .unwrap();
    for table in ["logouts", "resellers", "claim_failures"] {
        let trigger = format!(
            "CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON {table} DEFERRABLE INITIALLY DEFERRED
             FOR EACH ROW EXECUTE FUNCTION refuse()"
        );
        client.batch_execute(&trigger).await.unwrap();
    }
    let storage = &store.opened().storage;
    let (user_id, id) = (UserId::parse("anna").unwrap(), ResellerId(Uuid::from_u128(7)));
    let event = AuditEvent::of(AuditKind::ResellerAdded, Subject::Reseller(id), AuditContext::operator(), NOW);

    let logout = Logout::User { user_id: user_id.clone(), issued_until: NOW };
    let result = storage.sessions.log_out(&logout, NOW + Duration::HOUR, &event).await;
    assert!(result.is_err(), "{result:?}");

    let reseller = Reseller { id, name: Name::parse("North").unwrap(), created_at: NOW };
    let result = storage.directory.add_reseller(&reseller, &event).await;
    assert!(result.is_err(), "{result:?}");
    assert_eq!(storage.directory.find_reseller(id).await.unwrap(), None);

    let by = Claimant { merchant_id: MerchantId(Uuid::from_u128(1)), user_id };
    let reason = RefusedClaimReason::NotFound;
    let refused = RefusedClaim { by, context: RequestContext::default(), at: NOW, device_id: None, reason };
    let result = storage.failures.record(&refused, &AttemptLimit { max_failures: 3, window: Duration::HOUR }).await;
    assert!(result.is_err(), "{result:?}");
}

#[tokio::test]
async fn on_postgres() {
    a_failed_commit_returns_an_error(TestStore::postgres().await).await;
}

#[tokio::test]
async fn through_pgbouncer() {
    a_failed_commit_returns_an_error(TestStore::pgbouncer().await).await;
}
