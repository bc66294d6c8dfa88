//! Routes of the API description: `/openapi.json` and Swagger UI under `/docs/`.

use std::sync::{Arc, LazyLock};

use actix_web::HttpResponse;
use actix_web::http::header::LOCATION;
use actix_web::web::{self, Path};
use utoipa_swagger_ui::{Config, serve};

use crate::errors::api_error::ApiError;
use crate::errors::table::NOT_FOUND;
use crate::openapi::document::openapi_json;
use crate::server::route_spec::{RouteSpec, route};

/// `/openapi.json` and `/docs/`.
pub(crate) fn all() -> [RouteSpec; 3] {
    [
        route("/openapi.json").get(web::route().to(openapi)),
        route("/docs").get(web::route().to(to_page)),
        route("/docs/{file:.*}").get(web::route().to(page)),
    ]
}

async fn openapi() -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(openapi_json())
}

/// Serves Swagger UI. Its files are in the binary; the page loads nothing from third parties.
async fn page(file: Path<String>) -> Result<HttpResponse, ApiError> {
    static CONFIG: LazyLock<Arc<Config<'static>>> = LazyLock::new(|| Arc::new(Config::from("/openapi.json")));
    let found = serve(&file, CONFIG.clone()).map_err(|error| ApiError::internal(error.to_string()))?;
    let file = found.ok_or_else(|| ApiError::from(NOT_FOUND))?;
    Ok(HttpResponse::Ok().content_type(file.content_type).body(file.bytes.into_owned()))
}

/// Redirects to `/docs/`: the page's links to its files are relative.
async fn to_page() -> HttpResponse {
    HttpResponse::PermanentRedirect().insert_header((LOCATION, "/docs/")).finish()
}
