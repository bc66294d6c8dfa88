//! Parameters and responses shared by the device, location and merchant routes.

use actix_web::HttpResponse;
use actix_web::web::Json;
use pos_application::support::{Created, FleetError, SerializeError};
use serde::Deserialize;
use serde_json::Value;
use time::OffsetDateTime;
use time::error::Format;
use time::macros::format_description;
use utoipa::IntoParams;

use crate::errors::api_error::ApiError;
use crate::errors::back_office::to_api_error;
use crate::extract::fields::Limit;

/// Page of a list.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PageQuery {
    /// Maximum number of items; 50 if it is absent.
    #[serde(default)]
    #[param(value_type = Option<u32>, minimum = 1, maximum = 200)]
    pub(crate) limit: Limit,
    /// `next_cursor` of the previous page.
    #[param(value_type = Option<String>)]
    pub(crate) cursor: Option<String>,
}

/// Idempotency header of a creating request.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "describes a header that the IdempotentJson extractor reads")]
pub(crate) struct IdempotencyParams {
    /// Idempotency key, unique to this request. The same request with the same key is executed once; a repetition gets the
    /// first response again, with `Idempotency-Replayed: true`, for one day or the configured time.
    #[param(rename = "Idempotency-Key", value_type = Option<String>, pattern = "^[!-~]{1,255}$", max_length = 255)]
    idempotency_key: Option<String>,
}

/// Returns 201 with the new resource, or with the stored response of an earlier request with the same key.
pub(crate) fn created<T>(
    created: Created<T>,
    to_json: fn(&T) -> Result<String, SerializeError>,
) -> Result<HttpResponse, ApiError> {
    let mut response = HttpResponse::Created();
    let body = match created {
        Created::New(new) => to_json(&new).map_err(ApiError::internal)?,
        Created::Replayed(stored) => {
            response.insert_header(("Idempotency-Replayed", "true"));
            stored
        }
    };
    Ok(response.content_type("application/json").body(body))
}

/// Returns 200 with the result of a use case, or its error with `about` as the details.
pub(crate) fn reply<T, R>(
    result: Result<T, FleetError>,
    about: impl Into<Option<Value>>,
    to_response: impl FnOnce(&T) -> Result<R, Format>,
) -> Result<Json<R>, ApiError> {
    Ok(Json(to_response(&result.map_err(|error| to_api_error(error, about))?)?))
}

/// Formats a time as RFC 3339, UTC, whole seconds (contract, section 1).
pub(crate) fn whole_seconds(at: OffsetDateTime) -> Result<String, Format> {
    at.format(format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z"))
}
