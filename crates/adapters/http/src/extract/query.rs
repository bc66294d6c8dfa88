//! Parser of query parameters.

use actix_web::HttpRequest;
use actix_web::error::QueryPayloadError;
use actix_web::web::Query;
use serde::de::DeserializeOwned;

use crate::errors::api_error::ApiError;
use crate::errors::table::INVALID_QUERY;

/// Parses the query parameters. An unknown or repeated parameter is rejected by name.
pub(crate) fn query<T: DeserializeOwned>(request: &HttpRequest) -> Result<T, ApiError> {
    let read = Query::<T>::from_query(request.query_string());
    read.map(Query::into_inner).map_err(|error| match error {
        QueryPayloadError::Deserialize(why) => invalid_query(&why.to_string()),
        other => invalid_query(&other.to_string()),
    })
}

pub(crate) fn invalid_query(why: &str) -> ApiError {
    INVALID_QUERY.because(why)
}
