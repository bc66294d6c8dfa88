//! End-session endpoint: log-out by the browser (OpenID Connect RP-Initiated Logout 1.0) or by the client with its
//! refresh token. Both send the back-channel logout token before they respond.

use actix_web::http::StatusCode;
use actix_web::http::header::LOCATION;
use actix_web::web::{Data, Form, Query};
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::client_auth::authenticate;
use super::oauth_error::OAuthError;
use super::page;
use crate::realm::Realm;

#[derive(Deserialize)]
pub(super) struct LogoutRequest {
    id_token_hint: Option<String>,
    client_id: Option<String>,
    client_secret: Option<String>,
    post_logout_redirect_uri: Option<String>,
    state: Option<String>,
    refresh_token: Option<String>,
}

pub(super) async fn by_browser(
    realm: Data<Realm>,
    Query(request): Query<LogoutRequest>,
) -> Result<HttpResponse, OAuthError> {
    end_by_hint(&realm, &request).await
}

pub(super) async fn by_client(
    realm: Data<Realm>,
    http: HttpRequest,
    Form(request): Form<LogoutRequest>,
) -> Result<HttpResponse, OAuthError> {
    let Some(token) = &request.refresh_token else {
        return end_by_hint(&realm, &request).await;
    };
    let client = authenticate(&realm, &http, request.client_id.as_deref(), request.client_secret.as_deref())?;
    let session = realm.refreshed(token, client).ok_or(OAuthError::InvalidGrant("Invalid refresh token"))?;
    realm.log_out(&session.id).await?;
    Ok(HttpResponse::NoContent().finish())
}

async fn end_by_hint(realm: &Realm, request: &LogoutRequest) -> Result<HttpResponse, OAuthError> {
    let hint = request.id_token_hint.as_deref().and_then(|token| realm.with_keys(|keys| keys.verify(token)));
    let claim = |name: &str| hint.as_ref().and_then(|claims| claims.get(name)).and_then(Value::as_str);
    if let Some(session_id) = claim("sid") {
        realm.log_out(session_id).await?;
    }
    let Some(uri) = &request.post_logout_redirect_uri else {
        return Ok(page::message(StatusCode::OK, "You are logged out"));
    };
    let client = claim("azp").or(request.client_id.as_deref()).and_then(|id| realm.settings.client(id));
    let registered = client.is_some_and(|client| client.redirect_uris.contains(uri));
    let Some(mut url) = Url::parse(uri).ok().filter(|_| registered) else {
        return Ok(page::message(StatusCode::BAD_REQUEST, "Invalid redirect uri"));
    };
    if let Some(state) = &request.state {
        url.query_pairs_mut().append_pair("state", state);
    }
    Ok(HttpResponse::Found().insert_header((LOCATION, url.as_str())).finish())
}
