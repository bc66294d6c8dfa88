//! `GET /metrics`: Prometheus metrics.

use actix_web::HttpResponse;
use actix_web::web::Data;

use crate::errors::api_error::ApiError;
use crate::state::Api;

/// Prometheus metrics
#[utoipa::path(get, path = "/metrics", tag = "Operations",
    responses((status = 200, description = "Prometheus text format", body = String, content_type = "text/plain")))]
pub(crate) async fn metrics(api: Data<Api>) -> Result<HttpResponse, ApiError> {
    let text = api.metrics.render(&*api.pool).map_err(ApiError::internal)?;
    Ok(HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(text))
}
