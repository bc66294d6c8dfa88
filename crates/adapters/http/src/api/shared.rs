//! Parameters and responses shared by the device, location and merchant routes.

use actix_web::web::Json;
use actix_web::{HttpResponse, HttpResponseBuilder};
use pos_application::support::{Encode, EncodedResponse, FleetError, ResponseEncoder};
use serde::Deserialize;
use serde_json::Value;
use time::OffsetDateTime;
use time::error::Format;
use time::macros::format_description;
use utoipa::IntoParams;

use crate::errors::api_error::ApiError;
use crate::errors::back_office::to_api_error;
use crate::extract::IdempotencyHeader;
use crate::extract::fields::Limit;
use crate::state::Api;

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

/// Returns the encoder of a response, which is stored if the request has an idempotency key.
pub(crate) fn encoder<T>(api: &Api, header: Option<IdempotencyHeader>, encode: Encode<T>) -> ResponseEncoder<'_, T> {
    match header {
        Some(IdempotencyHeader { key, fingerprint }) => api.use_cases.idempotency.keyed(key, fingerprint, encode),
        None => ResponseEncoder::without_key(encode),
    }
}

/// Sends an encoded response with the status of `response`. A replayed one is marked.
pub(crate) fn encoded(mut response: HttpResponseBuilder, encoded: EncodedResponse) -> HttpResponse {
    let body = match encoded {
        EncodedResponse::New(body) => body,
        EncodedResponse::Replayed(body) => {
            response.insert_header(("Idempotency-Replayed", "true"));
            body
        }
    };
    response.content_type("application/json").body(body)
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
