//! HTTP routes, with Keycloak's paths.

mod auth;
mod client_auth;
mod discovery;
mod logout;
mod oauth_error;
mod page;
mod token;

use actix_cors::Cors;
use actix_web::web::{self, Data, Query, ServiceConfig};
use actix_web::{HttpResponse, guard};
use serde::Deserialize;
use url::Url;

use crate::realm::Realm;
use oauth_error::OAuthError;

/// The routes of one realm.
pub(crate) fn routes(config: &mut ServiceConfig, realm: &Data<Realm>) {
    let ours = realm.settings.realm.clone();
    let known =
        guard::fn_guard(move |context| context.head().uri.path().split('/').nth(2).is_some_and(|named| named == ours));
    let openid = web::scope("/protocol/openid-connect")
        .route("/certs", web::get().to(discovery::certs))
        .route("/token", web::post().to(token::token))
        .route("/auth", web::get().to(auth::show))
        .route("/auth", web::post().to(auth::log_in))
        .route("/logout", web::get().to(logout::by_browser))
        .route("/logout", web::post().to(logout::by_client));
    let realm_scope = web::scope("/realms/{realm}")
        .guard(known)
        .route("/.well-known/openid-configuration", web::get().to(discovery::configuration))
        .route("/dev/rotate-keys", web::post().to(rotate_keys))
        .service(openid);
    config
        .app_data(realm.clone())
        .app_data(web::FormConfig::default().error_handler(|_, _| OAuthError::InvalidRequest("malformed form").into()))
        .app_data(
            web::QueryConfig::default().error_handler(|_, _| OAuthError::InvalidRequest("malformed query").into()),
        )
        .service(realm_scope)
        .default_service(web::to(not_found));
}

/// CORS policy: the origins of registered clients may read responses, as in Keycloak with the web origins `+`.
pub(crate) fn cors(realm: &Realm) -> Cors {
    let uris = realm.settings.clients.iter().flat_map(|client| &client.redirect_uris);
    let origins: Vec<_> =
        uris.filter_map(|uri| Url::parse(uri).ok()).map(|url| url.origin().ascii_serialization()).collect();
    let allowed = move |origin: &str| origins.iter().any(|known| known == origin);
    Cors::default()
        .allowed_origin_fn(move |origin, _| origin.to_str().is_ok_and(&allowed))
        .allowed_methods(["GET", "POST"])
        .allow_any_header()
}

#[derive(Deserialize)]
struct RotateQuery {
    #[serde(default)]
    drop: bool,
}

async fn rotate_keys(realm: Data<Realm>, query: Query<RotateQuery>) -> Result<HttpResponse, OAuthError> {
    let drop_old = query.drop;
    let rotated = web::block(move || realm.rotate_keys(drop_old)).await;
    rotated.map_err(|_| OAuthError::ServerError)?.map_err(|_| OAuthError::ServerError)?;
    Ok(HttpResponse::NoContent().finish())
}

async fn not_found() -> HttpResponse {
    HttpResponse::NotFound().json(serde_json::json!({ "error": "Realm or path does not exist" }))
}
