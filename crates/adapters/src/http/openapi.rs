//! The API as OpenAPI 3.1, made from the handlers and their types.

use std::sync::LazyLock;

use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};

use super::envelope::ErrorEnvelope;
use super::routes;

/// The whole description, as JSON.
#[must_use]
pub fn openapi_json() -> &'static str {
    static JSON: LazyLock<String> = LazyLock::new(|| ApiDescription::openapi().to_json().unwrap_or_default());
    &JSON
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "POS activation",
        description = "Bootstrap, pairing code, status and claim: how a card terminal finds its merchant.\n\nEvery \
                       failure has one envelope, `{\"error\": {code, message, details?, trace_id}}`; every answer has \
                       an `X-Trace-Id` header, taken from the caller's `traceparent` (W3C Trace Context) when it sent \
                       one.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    paths(
        routes::bootstrap, routes::pairing_code, routes::status, routes::claim, routes::initiate, routes::end,
        routes::backchannel_logout, routes::client_session, routes::auth_token, routes::live, routes::ready,
        routes::metrics,
    ),
    components(schemas(ErrorEnvelope<'static>)),
    modifiers(&Bearer),
    tags(
        (name = "POS activation", description = "Called by the terminal"),
        (name = "Merchant", description = "Called from the merchant's portal"),
        (name = "Sessions", description = "Called by portals and machines before they act, and when they are done"),
        (name = "Operations", description = "Called by those who run the server"),
    )
)]
struct ApiDescription;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let scheme = SecurityScheme::Http(Http::builder().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").build());
        openapi.components.get_or_insert_default().add_security_scheme("bearer", scheme);
    }
}
