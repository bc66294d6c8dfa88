//! Writes whose commit fails, after the database has sent their rows: none is answered as if it had been kept.

use pos_domain::{
    Act, AuditEvent, AuditKind, CallContext, ClaimLimit, Claimant, MerchantId, Name, RefusedClaim, RefusedClaimReason,
    Reseller, ResellerId, Subject, UserId,
};
use pos_port_storage::Logout;
use pos_tests::stores::TestStore;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

async fn no_failed_commit_is_taken_for_one(store: TestStore) {
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
    let event = AuditEvent::of(AuditKind::ResellerAdded, Subject::Reseller(id), Act::operator(), NOW);

    let logout = Logout::User { user_id: user_id.clone(), issued_until: NOW };
    let told = storage.sessions.log_out(&logout, NOW + Duration::HOUR, &event).await;
    assert!(told.is_err(), "{told:?}");

    let reseller = Reseller { id, name: Name::parse("North").unwrap(), created_at: NOW };
    let told = storage.directory.add_reseller(&reseller, &event).await;
    assert!(told.is_err(), "{told:?}");
    assert_eq!(storage.directory.find_reseller(id).await.unwrap(), None);

    let by = Claimant { merchant_id: MerchantId(Uuid::from_u128(1)), user_id };
    let reason = RefusedClaimReason::NotFound;
    let refused = RefusedClaim { by, context: CallContext::default(), at: NOW, device_id: None, reason };
    let told = storage.failures.record(&refused, &ClaimLimit { max_failures: 3, window: Duration::HOUR }).await;
    assert!(told.is_err(), "{told:?}");
}

#[tokio::test]
async fn on_postgres() {
    no_failed_commit_is_taken_for_one(TestStore::postgres().await).await;
}

#[tokio::test]
async fn through_pgbouncer() {
    no_failed_commit_is_taken_for_one(TestStore::pgbouncer().await).await;
}
