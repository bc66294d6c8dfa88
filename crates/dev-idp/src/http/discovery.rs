//! Discovery and key set endpoints.

use actix_web::web::{Data, Json};
use serde_json::{Value, json};

use crate::realm::Realm;

/// The provider's metadata (OpenID Connect Discovery 1.0, section 3).
pub(super) async fn configuration(realm: Data<Realm>) -> Json<Value> {
    let issuer = &realm.issuer;
    let endpoint = |name: &str| format!("{issuer}/protocol/openid-connect/{name}");
    Json(json!({
        "issuer": issuer,
        "authorization_endpoint": endpoint("auth"),
        "token_endpoint": endpoint("token"),
        "jwks_uri": endpoint("certs"),
        "end_session_endpoint": endpoint("logout"),
        "backchannel_logout_supported": true,
        "backchannel_logout_session_supported": true,
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "client_credentials", "password", "refresh_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": true,
        "scopes_supported": ["openid", "profile", "email"],
        "claims_supported": ["sub", "iss", "aud", "azp", "preferred_username", "email", "merchant_id", "reseller_id", "roles"],
    }))
}

/// The realm's public keys.
pub(super) async fn certs(realm: Data<Realm>) -> Json<Value> {
    Json(realm.with_keys(|keys| keys.jwks()))
}
