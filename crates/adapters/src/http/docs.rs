//! The API's description, for programs and for people.

use std::sync::{Arc, LazyLock};

use actix_web::HttpResponse;
use actix_web::http::header::LOCATION;
use actix_web::web::{self, Path};
use utoipa_swagger_ui::{Config, serve};

use super::api_error::{ApiError, Failure};
use super::openapi::openapi_json;
use super::resource::{Served, at};

/// `/openapi.json` and `/docs/`.
pub(super) fn all() -> [Served; 3] {
    [
        at("/openapi.json").get(web::route().to(openapi)),
        at("/docs").get(web::route().to(to_page)),
        at("/docs/{file:.*}").get(web::route().to(page)),
    ]
}

/// The API, described.
async fn openapi() -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(openapi_json())
}

/// The same for people. Its files are in the binary: nothing is fetched from elsewhere.
async fn page(file: Path<String>) -> Result<HttpResponse, ApiError> {
    static CONFIG: LazyLock<Arc<Config<'static>>> = LazyLock::new(|| Arc::new(Config::from("/openapi.json")));
    let found = serve(&file, CONFIG.clone()).map_err(|error| ApiError::internal(error.to_string()))?;
    let file = found.ok_or_else(|| ApiError::new(Failure::NotFound, "Not found"))?;
    Ok(HttpResponse::Ok().content_type(file.content_type).body(file.bytes.into_owned()))
}

/// The page's files are named relative to `/docs/`.
async fn to_page() -> HttpResponse {
    HttpResponse::PermanentRedirect().insert_header((LOCATION, "/docs/")).finish()
}
