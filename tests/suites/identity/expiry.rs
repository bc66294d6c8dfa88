//! Token validity at its bounds, to the microsecond.

use pos_port_clock::{Clock, ManualClock};
use pos_port_identity::TokenVerifier;
use serde_json::json;
use time::{Duration, OffsetDateTime};

use super::support::{changed, clock, good_claims, mia, mint, rejected, start_idp, verifier};

const LEEWAY: Duration = Duration::seconds(30);
const MICROSECOND: Duration = Duration::microseconds(1);

fn seconds(at: OffsetDateTime) -> i64 {
    at.unix_timestamp()
}

#[tokio::test]
async fn a_token_expires_after_the_leeway_cached_or_not() {
    let clock = clock();
    let idp = start_idp(&clock).await;
    let verifier_with_cache = verifier(idp.issuer(), &clock);
    let expires = clock.now() + Duration::seconds(60);
    let claims = changed(good_claims(idp.issuer(), &clock), json!({"exp": seconds(expires)}));
    let token = mint(&idp, &claims);
    assert_eq!(verifier_with_cache.verify(&token).await, mia());

    clock.set(expires + LEEWAY - MICROSECOND);
    assert_eq!(verifier_with_cache.verify(&token).await, mia());
    assert_eq!(verifier(idp.issuer(), &clock).verify(&token).await, mia());
    clock.set(expires + LEEWAY);
    assert_eq!(verifier_with_cache.verify(&token).await, rejected("expired"));
    assert_eq!(verifier(idp.issuer(), &clock).verify(&token).await, rejected("expired"));
}

#[tokio::test]
async fn a_token_is_valid_one_leeway_early() {
    let clock = clock();
    let idp = start_idp(&clock).await;
    let verifier = verifier(idp.issuer(), &clock);
    let starts = clock.now() + Duration::minutes(5);
    for name in ["nbf", "iat"] {
        let changes = json!({name: seconds(starts), "exp": seconds(starts) + 3_600});
        let token = mint(&idp, &changed(good_claims(idp.issuer(), &clock), changes));
        let at = |clock: &ManualClock, time| clock.set(time);
        at(&clock, starts - LEEWAY - MICROSECOND);
        assert_eq!(verifier.verify(&token).await, rejected("not valid yet"), "{name}");
        at(&clock, starts - LEEWAY);
        assert_eq!(verifier.verify(&token).await, mia(), "{name}");
        at(&clock, starts - LEEWAY - MICROSECOND);
        assert_eq!(verifier.verify(&token).await, rejected("not valid yet"), "{name}, cached, clock set back");
        at(&clock, starts - Duration::minutes(5));
    }
}
