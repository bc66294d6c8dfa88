//! Cross-origin requests of browsers: which are allowed, and refusals and preflights in the form of every other answer.

use std::rc::Rc;

use actix_cors::CorsError;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER, VARY};
use actix_web::middleware::Next;
use actix_web::{Error, ResponseError as _, web};
use serde_json::json;

use super::api_error::ApiError;
use super::door::{X_TRACE_ID, stamp};
use super::metrics::RouteMetrics;
use super::{Api, envelope, trace_id};

/// The methods of every route.
pub(super) const METHODS: [&str; 3] = ["GET", "POST", "PATCH"];

/// What the instrumentation of browsers adds to requests: W3C Trace Context and W3C Baggage.
const TRACING_HEADERS: [&str; 3] = ["traceparent", "tracestate", "baggage"];

/// Lets pages of these origins call the API from a browser: the merchant's portal.
pub fn cors(allowed_origins: &[String]) -> actix_cors::Cors {
    let cors = actix_cors::Cors::default()
        .allowed_methods(METHODS)
        .allowed_headers([ACCEPT, AUTHORIZATION, CONTENT_TYPE])
        .allowed_headers(TRACING_HEADERS)
        .allowed_header("idempotency-key")
        .expose_headers([RETRY_AFTER.as_str(), "x-trace-id", "idempotency-replayed"])
        .max_age(3_600);
    allowed_origins.iter().fold(cors, |cors, origin| cors.allowed_origin(origin))
}

/// Middleware around the CORS middleware: its refusals become the envelope, with a line in the log; its answers to preflights
/// get a trace id. Both are counted as route `preflight`. All other answers have passed the request middleware and are left
/// as they are.
pub(super) async fn sealed_cors(
    counters: Rc<RouteMetrics>,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let answer = next.call(request).await?.map_into_boxed_body();
    if answer.headers().contains_key(X_TRACE_ID) {
        return Ok(answer);
    }
    let (http_request, response) = answer.into_parts();
    let Some(api) = http_request.app_data::<web::Data<Api>>().cloned() else {
        return Err(ApiError::internal("the API is not wired").into());
    };
    let trace_id = trace_id::of_request(http_request.headers(), &*api.entropy);
    let refusal = response.error().and_then(|error| error.as_error::<CorsError>()).map(ToString::to_string);
    let vary: Vec<_> = response.headers().get_all(VARY).cloned().collect();
    let mut response = match refusal {
        None => response,
        Some(why) => {
            let method = http_request.method().as_str();
            tracing::info!(%trace_id, method, status = 400, code = "4000", why, "cross-origin request refused");
            let error = ApiError::invalid("Cross-origin request is not allowed").details(json!({ "message": why }));
            let (mut sealed, _) = envelope::seal(error.error_response(), trace_id, &*api.entropy);
            vary.into_iter().for_each(|vary| sealed.headers_mut().append(VARY, vary));
            sealed
        }
    };
    stamp(&mut response, trace_id, &api);
    counters.count(http_request.method(), response.status());
    Ok(ServiceResponse::new(http_request, response))
}

#[cfg(test)]
mod tests {
    use super::METHODS;
    use crate::http::served_routes;

    #[test]
    fn every_method_that_is_served_may_be_called_from_a_browser() {
        for (method, path) in served_routes() {
            assert!(METHODS.contains(&method.as_str()), "{method} {path}");
        }
    }
}
