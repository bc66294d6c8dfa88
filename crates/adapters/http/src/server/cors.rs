//! CORS: allowed cross-origin requests of browsers; rejections and preflights get the envelope and a trace id.

use std::rc::Rc;

use actix_cors::CorsError;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER, VARY};
use actix_web::middleware::Next;
use actix_web::{Error, ResponseError as _, web};

use crate::errors::api_error::ApiError;
use crate::errors::envelope;
use crate::errors::table::CROSS_ORIGIN;
use crate::observe::metrics::RouteMetrics;
use crate::observe::trace_id;
use crate::server::request_middleware::{X_TRACE_ID, set_common_headers};
use crate::state::Api;

/// Methods of all routes.
pub(crate) const METHODS: [&str; 3] = ["GET", "POST", "PATCH"];

/// Headers that browser instrumentation adds to requests: W3C Trace Context and W3C Baggage.
const TRACING_HEADERS: [&str; 3] = ["traceparent", "tracestate", "baggage"];

/// Allows pages of these origins, such as the merchant's portal, to call the API from a browser.
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

/// Middleware around the CORS middleware. Its rejections get the envelope and are logged; its preflight responses get a
/// trace id. Both are counted as route `preflight`. All other responses have passed the request middleware and are
/// returned unchanged.
pub(crate) async fn cors_envelope(
    counters: Rc<RouteMetrics>,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let service_response = next.call(request).await?.map_into_boxed_body();
    if service_response.headers().contains_key(X_TRACE_ID) {
        return Ok(service_response);
    }
    let (http_request, response) = service_response.into_parts();
    let Some(api) = http_request.app_data::<web::Data<Api>>().cloned() else {
        return Err(ApiError::internal("the API state is missing").into());
    };
    let trace_id = trace_id::of_request(http_request.headers(), &*api.entropy);
    let rejection = response.error().and_then(|error| error.as_error::<CorsError>()).map(ToString::to_string);
    let vary: Vec<_> = response.headers().get_all(VARY).cloned().collect();
    let mut response = match rejection {
        None => response,
        Some(why) => {
            let method = http_request.method().as_str();
            let (status, code) = (CROSS_ORIGIN.code.status().as_u16(), CROSS_ORIGIN.code.code());
            tracing::info!(%trace_id, method, status, code, why, "cross-origin request refused");
            let error = CROSS_ORIGIN.because(&why);
            let (mut wrapped, _) = envelope::wrap(error.error_response(), trace_id, &*api.entropy);
            vary.into_iter().for_each(|vary| wrapped.headers_mut().append(VARY, vary));
            wrapped
        }
    };
    set_common_headers(&mut response, trace_id, &api);
    counters.count(http_request.method(), response.status());
    Ok(ServiceResponse::new(http_request, response))
}

#[cfg(test)]
mod tests {
    use super::METHODS;
    use crate::served_routes;

    #[test]
    fn cors_allows_the_methods_of_all_routes() {
        for (method, path) in served_routes() {
            assert!(METHODS.contains(&method.as_str()), "{method} {path}");
        }
    }
}
