//! Fixture of the identity suites.

use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use pos_adapters::clock::SystemEntropy;
use pos_adapters::identity::oidc::{OidcSettings, OidcVerifier};
use pos_dev_idp::{DevIdp, DevIdpSettings, MintKid, MintOptions, RunningDevIdp};
use pos_domain::shared::{MerchantId, UserId};
use pos_port_clock::{Clock, ManualClock};
use pos_port_identity::{Principal, TokenVerifier, VerifyError};
use serde_json::{Value, json};
use time::macros::datetime;
use uuid::Uuid;

pub(crate) const AUDIENCE: &str = "pos-activation";
pub(crate) const MERCHANT: Uuid = Uuid::from_u128(0x0b8f_4d2e_7c1a_4e55_9d0f_2a6b_1c3d_4e5f);
pub(crate) const USER: &str = "0c7b3f5e-0000-4000-8000-000000000001";
pub(crate) const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

pub(crate) fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(datetime!(2026-01-01 12:00 UTC)))
}

/// A realm with one merchant's user, a public client, a confidential one, and a second public one.
pub(crate) fn idp_settings() -> DevIdpSettings {
    let settings = json!({
        "realm": "viopay",
        "audience": AUDIENCE,
        "users": [{
            "username": "mia", "password": "correct horse", "sub": USER, "merchant_id": MERCHANT,
            "email": "mia@shop.example", "claims": {"given_name": "Mia", "realm_access": {"roles": ["merchant"]}},
        }],
        "clients": [
            {"client_id": "portal", "redirect_uris": ["http://localhost:3000/callback?from=idp"]},
            {"client_id": "other", "redirect_uris": ["http://localhost:4000/callback"]},
            {"client_id": "machine", "secret": "battery&staple+", "merchant_id": MERCHANT},
        ],
    });
    serde_json::from_value(settings).expect("settings as documented")
}

pub(crate) async fn start_idp(clock: &Arc<ManualClock>) -> RunningDevIdp {
    DevIdp::start(idp_settings(), ANY_PORT, clock.clone(), Arc::new(SystemEntropy)).await.expect("the issuer starts")
}

/// The OIDC verifier, reduced to the user and merchant of the principal. Unit tests and the session suites cover the
/// other claims.
pub(crate) struct NamingVerifier(OidcVerifier);

impl std::ops::Deref for NamingVerifier {
    type Target = OidcVerifier;

    fn deref(&self) -> &OidcVerifier {
        &self.0
    }
}

#[async_trait]
impl TokenVerifier for NamingVerifier {
    async fn verify(&self, token: &str) -> Result<Principal, VerifyError> {
        let principal = self.0.verify(token).await?;
        Ok(Principal::fixed(principal.user_id, principal.merchant_id))
    }

    fn is_ready(&self) -> bool {
        self.0.is_ready()
    }
}

pub(crate) fn verifier(issuer: &str, clock: &Arc<ManualClock>) -> NamingVerifier {
    verifier_with(OidcSettings::new(issuer, AUDIENCE), clock)
}

pub(crate) fn verifier_with(settings: OidcSettings, clock: &Arc<ManualClock>) -> NamingVerifier {
    NamingVerifier(OidcVerifier::new(settings, clock.clone()).expect("settings are right"))
}

/// The claims of an access token that is valid for an hour.
pub(crate) fn good_claims(issuer: &str, clock: &ManualClock) -> Value {
    let now = clock.now().unix_timestamp();
    json!({
        "iss": issuer, "sub": USER, "aud": [AUDIENCE, "account"], "azp": "portal", "typ": "Bearer",
        "iat": now, "exp": now + 3_600, "merchant_id": MERCHANT, "jti": Uuid::new_v4(),
    })
}

/// `claims` with `changes` applied; `null` removes a claim.
pub(crate) fn changed(mut claims: Value, changes: Value) -> Value {
    let object = claims.as_object_mut().expect("claims are an object");
    for (name, value) in changes.as_object().expect("changes are an object") {
        if value.is_null() {
            object.remove(name);
        } else {
            object.insert(name.clone(), value.clone());
        }
    }
    claims
}

pub(crate) fn mint(idp: &RunningDevIdp, claims: &Value) -> String {
    idp.mint(claims, MintOptions::default()).expect("minted")
}

pub(crate) fn mint_with_kid(idp: &RunningDevIdp, claims: &Value, kid: &str) -> String {
    let options = MintOptions { kid: MintKid::Named(kid.to_owned()), ..MintOptions::default() };
    idp.mint(claims, options).expect("minted")
}

/// The principal of [`good_claims`].
pub(crate) fn mia() -> Result<Principal, VerifyError> {
    Ok(Principal::fixed(UserId::parse(USER).expect("valid"), Some(MerchantId(MERCHANT))))
}

pub(crate) fn rejected(reason: &'static str) -> Result<Principal, VerifyError> {
    Err(VerifyError::Rejected(reason))
}
