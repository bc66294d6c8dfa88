//! Authorization endpoint: the log-in form, and the redirect to the client with a code.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, LOCATION};
use actix_web::web::{Data, Form, Query};
use serde::Deserialize;
use url::Url;

use super::page;
use super::token::scope;
use crate::realm::Realm;
use crate::settings::DevClient;
use crate::tokens::Subject;

#[derive(Deserialize)]
pub(super) struct AuthRequest {
    client_id: Option<String>,
    redirect_uri: Option<String>,
    response_type: Option<String>,
    scope: Option<String>,
    state: Option<String>,
    nonce: Option<String>,
    code_challenge: Option<String>,
    code_challenge_method: Option<String>,
    prompt: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct LogIn {
    username: String,
    password: String,
}

pub(super) async fn show(realm: Data<Realm>, Query(request): Query<AuthRequest>) -> HttpResponse {
    match VerifiedRedirect::of(&realm, &request) {
        Ok(verified) => page::log_in(&verified.client.client_id, false),
        Err(refusal) => *refusal,
    }
}

pub(super) async fn log_in(
    realm: Data<Realm>,
    Query(request): Query<AuthRequest>,
    Form(form): Form<LogIn>,
) -> HttpResponse {
    let verified = match VerifiedRedirect::of(&realm, &request) {
        Ok(verified) => verified,
        Err(refusal) => return *refusal,
    };
    let Some(user) = realm.settings.user(&form.username, &form.password) else {
        return page::log_in(&verified.client.client_id, true);
    };
    let granted = scope(request.scope.as_deref());
    let session = realm.begin(Subject::of_user(user), verified.client, granted, request.nonce.clone());
    let session_id = session.id.clone();
    let code = realm.issue_code(session, verified.redirect_uri, request.code_challenge.clone());
    verified.redirect(&[("session_state", &session_id), ("code", &code)])
}

/// A client and a redirect URI that have been checked to belong together.
struct VerifiedRedirect<'r> {
    client: &'r DevClient,
    redirect_uri: &'r str,
    state: Option<&'r str>,
    issuer: &'r str,
}

impl<'r> VerifiedRedirect<'r> {
    /// Validates a request. Client and redirect URI come first: until both are valid, errors are shown to the user and
    /// not sent to the redirect URI (RFC 6749, section 4.1.2.1).
    fn of(realm: &'r Realm, request: &'r AuthRequest) -> Result<Self, Box<HttpResponse>> {
        let refuse = |sentence| Box::new(page::message(StatusCode::BAD_REQUEST, sentence));
        let client = request.client_id.as_deref().and_then(|id| realm.settings.client(id));
        let client = client.ok_or_else(|| refuse("Client not found"))?;
        let redirect_uri = request.redirect_uri.as_ref().filter(|uri| client.redirect_uris.contains(uri));
        let redirect_uri = redirect_uri.ok_or_else(|| refuse("Invalid parameter: redirect_uri"))?;
        let verified = Self { client, redirect_uri, state: request.state.as_deref(), issuer: &realm.issuer };
        match request_error(client, request) {
            Some((error, description)) => {
                Err(verified.redirect(&[("error", error), ("error_description", description)]).into())
            }
            None => Ok(verified),
        }
    }

    fn redirect(&self, parameters: &[(&str, &str)]) -> HttpResponse {
        let Ok(mut url) = Url::parse(self.redirect_uri) else {
            return page::message(StatusCode::BAD_REQUEST, "Invalid parameter: redirect_uri");
        };
        {
            let mut query = url.query_pairs_mut();
            query.extend_pairs(self.state.map(|state| ("state", state)));
            query.extend_pairs(parameters).append_pair("iss", self.issuer);
        }
        // 302 and not 303, like Keycloak; every browser turns the POST into a GET.
        HttpResponse::Found()
            .insert_header((LOCATION, url.as_str()))
            .insert_header((CACHE_CONTROL, "no-store"))
            .finish()
    }
}

/// The error of a request whose client and redirect URI are valid.
fn request_error(client: &DevClient, request: &AuthRequest) -> Option<(&'static str, &'static str)> {
    if request.response_type.as_deref() != Some("code") {
        return Some(("unsupported_response_type", "Only response_type=code is offered"));
    }
    if request.prompt.as_deref() == Some("none") {
        return Some(("login_required", "Nobody is logged in"));
    }
    match (request.code_challenge.as_deref(), request.code_challenge_method.as_deref()) {
        (None, None) if client.secret.is_some() => None,
        (None, _) => Some(("invalid_request", "Missing parameter: code_challenge")),
        (Some(challenge), Some("S256")) if is_challenge(challenge) => None,
        (Some(_), Some("S256")) => Some(("invalid_request", "Invalid parameter: code_challenge")),
        (Some(_), _) => Some(("invalid_request", "Invalid parameter: code_challenge_method")),
    }
}

/// Whether the text is a base64url SHA-256 hash (RFC 7636, section 4.2).
fn is_challenge(text: &str) -> bool {
    text.len() == 43 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}
