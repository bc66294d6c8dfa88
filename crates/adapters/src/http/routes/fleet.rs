//! What the routes for devices, locations and merchants have in common.

use actix_web::HttpResponse;
use pos_application::{Created, NoAnswer};
use serde::Deserialize;
use utoipa::IntoParams;

use super::super::api_error::ApiError;
use super::super::fields::Limit;

/// Which part of a list.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PageQuery {
    /// At most so many; 50 when it is left out.
    #[serde(default)]
    #[param(value_type = Option<u32>, minimum = 1, maximum = 200)]
    pub(super) limit: Limit,
    /// The `next_cursor` of the page before.
    #[param(value_type = Option<String>)]
    pub(super) cursor: Option<String>,
}

/// The caller's name for a creating call.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "describes a header that the Creating extractor reads")]
pub(crate) struct IdempotencyParams {
    /// A name of your own for this call, new for each thing to be made. The same call with the same key makes it once
    /// and is answered the same, with `Idempotency-Replayed: true`, for a day or as the server is set.
    #[param(rename = "Idempotency-Key", value_type = Option<String>, pattern = "^[!-~]{1,255}$", max_length = 255)]
    idempotency_key: Option<String>,
}

/// 201 with what was created, now or by an earlier call with the same key.
pub(super) fn created<T>(
    created: Created<T>,
    answer: fn(&T) -> Result<String, NoAnswer>,
) -> Result<HttpResponse, ApiError> {
    let mut response = HttpResponse::Created();
    let text = match created {
        Created::Now(new) => answer(&new).map_err(ApiError::internal)?,
        Created::Before(text) => {
            response.insert_header(("Idempotency-Replayed", "true"));
            text
        }
    };
    Ok(response.content_type("application/json").body(text))
}
