//! Token endpoint: the grants `password`, `client_credentials`, `authorization_code` and `refresh_token`.

use actix_web::http::header::{CACHE_CONTROL, PRAGMA};
use actix_web::web::{Data, Form};
use actix_web::{HttpRequest, HttpResponse};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::client_auth::authenticate;
use super::oauth_error::OAuthError;
use crate::realm::Realm;
use crate::sessions::Grant;
use crate::settings::DevClient;
use crate::tokens::Subject;

#[derive(Deserialize)]
pub(super) struct TokenRequest {
    grant_type: Option<String>,
    client_id: Option<String>,
    client_secret: Option<String>,
    username: Option<String>,
    password: Option<String>,
    scope: Option<String>,
    code: Option<String>,
    redirect_uri: Option<String>,
    code_verifier: Option<String>,
    refresh_token: Option<String>,
}

pub(super) async fn token(
    realm: Data<Realm>,
    request: HttpRequest,
    Form(form): Form<TokenRequest>,
) -> Result<HttpResponse, OAuthError> {
    let grant_type = required(form.grant_type.as_deref(), "Missing form parameter: grant_type")?;
    let client = authenticate(&realm, &request, form.client_id.as_deref(), form.client_secret.as_deref())?;
    let answer = match grant_type {
        "password" => by_password(&realm, client, &form)?,
        "client_credentials" => by_client_credentials(&realm, client, &form)?,
        "authorization_code" => by_code(&realm, client, &form)?,
        "refresh_token" => by_refresh(&realm, client, &form)?,
        _ => return Err(OAuthError::UnsupportedGrantType),
    };
    Ok(HttpResponse::Ok().insert_header((CACHE_CONTROL, "no-store")).insert_header((PRAGMA, "no-cache")).json(answer))
}

fn by_password(realm: &Realm, client: &DevClient, form: &TokenRequest) -> Result<Value, OAuthError> {
    if !client.direct_access_grants {
        return Err(OAuthError::UnauthorizedClient("Client not allowed for direct access grants"));
    }
    let username = required(form.username.as_deref(), "Missing parameter: username")?;
    let password = required(form.password.as_deref(), "Missing parameter: password")?;
    let user = realm.settings.user(username, password);
    let user = user.ok_or(OAuthError::InvalidGrant("Invalid user credentials"))?;
    let session = realm.begin(Subject::of_user(user), client, scope(form.scope.as_deref()), None);
    Ok(realm.session_tokens(session)?)
}

fn by_client_credentials(realm: &Realm, client: &DevClient, form: &TokenRequest) -> Result<Value, OAuthError> {
    if client.secret.is_none() {
        return Err(OAuthError::UnauthorizedClient("Public client not allowed to retrieve service account"));
    }
    Ok(realm.service_tokens(client, &scope(form.scope.as_deref()))?)
}

fn by_code(realm: &Realm, client: &DevClient, form: &TokenRequest) -> Result<Value, OAuthError> {
    let code = required(form.code.as_deref(), "Missing parameter: code")?;
    let redeemed = realm.sessions().redeem(code, realm.now());
    let Grant { session, redirect_uri, code_challenge, .. } =
        redeemed.ok_or(OAuthError::InvalidGrant("Code not valid"))?;
    if session.client_id != client.client_id {
        return Err(OAuthError::InvalidGrant("Auth error"));
    }
    if form.redirect_uri.as_ref() != Some(&redirect_uri) {
        return Err(OAuthError::InvalidGrant("Incorrect redirect_uri"));
    }
    let proof = form.code_verifier.as_deref().map(|verifier| URL_SAFE_NO_PAD.encode(Sha256::digest(verifier)));
    if proof != code_challenge {
        return Err(OAuthError::InvalidGrant("PKCE verification failed"));
    }
    Ok(realm.session_tokens(session)?)
}

fn by_refresh(realm: &Realm, client: &DevClient, form: &TokenRequest) -> Result<Value, OAuthError> {
    let token = required(form.refresh_token.as_deref(), "No refresh token")?;
    let session = realm.refreshed(token, client).ok_or(OAuthError::InvalidGrant("Invalid refresh token"))?;
    Ok(realm.session_tokens(session)?)
}

fn required<'f>(parameter: Option<&'f str>, missing: &'static str) -> Result<&'f str, OAuthError> {
    parameter.filter(|text| !text.is_empty()).ok_or(OAuthError::InvalidRequest(missing))
}

/// The granted scope: Keycloak's default scopes, and `openid` if it was requested.
pub(super) fn scope(requested: Option<&str>) -> String {
    let openid = requested.is_some_and(|requested| requested.split(' ').any(|scope| scope == "openid"));
    if openid { "openid profile email".to_owned() } else { "profile email".to_owned() }
}
