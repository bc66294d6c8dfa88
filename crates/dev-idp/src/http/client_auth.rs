//! Client authentication by HTTP Basic or form parameters (RFC 6749, section 2.3.1).

use actix_web::HttpRequest;
use actix_web::http::header::AUTHORIZATION;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use secrecy::ExposeSecret;

use super::oauth_error::OAuthError;
use crate::realm::Realm;
use crate::settings::DevClient;

/// Authenticates the client of a request. A client with a secret must send it; a client without one must not send any.
pub(super) fn authenticate<'r>(
    realm: &'r Realm,
    request: &HttpRequest,
    form_id: Option<&str>,
    form_secret: Option<&str>,
) -> Result<&'r DevClient, OAuthError> {
    let basic = basic_credentials(request)?;
    if basic.is_some() && form_secret.is_some() {
        return Err(OAuthError::InvalidRequest("client authenticated twice"));
    }
    let (id, secret) = match &basic {
        Some((id, secret)) => (id.as_str(), Some(secret.as_str())),
        None => (form_id.ok_or(OAuthError::InvalidClient)?, form_secret),
    };
    if form_id.is_some_and(|form_id| form_id != id) {
        return Err(OAuthError::InvalidRequest("client named twice"));
    }
    let client = realm.settings.client(id).ok_or(OAuthError::InvalidClient)?;
    match (&client.secret, secret) {
        (Some(expected), Some(given)) if expected.expose_secret() == given => Ok(client),
        (None, None) => Ok(client),
        _ => Err(OAuthError::InvalidClient),
    }
}

fn basic_credentials(request: &HttpRequest) -> Result<Option<(String, String)>, OAuthError> {
    let Some(header) = request.headers().get(AUTHORIZATION) else { return Ok(None) };
    let encoded = header.to_str().ok().and_then(|header| header.strip_prefix("Basic "));
    let decoded = encoded.and_then(|encoded| STANDARD.decode(encoded.trim()).ok());
    let text = decoded.and_then(|bytes| String::from_utf8(bytes).ok()).ok_or(OAuthError::InvalidClient)?;
    let (id, secret) = text.split_once(':').ok_or(OAuthError::InvalidClient)?;
    let form_decoded = |part: &str| {
        percent_decode_str(&part.replace('+', " "))
            .decode_utf8()
            .map(String::from)
            .map_err(|_| OAuthError::InvalidClient)
    };
    Ok(Some((form_decoded(id)?, form_decoded(secret)?)))
}
