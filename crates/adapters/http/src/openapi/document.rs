//! OpenAPI 3.1 description of the API, generated from the handlers and their types.

use std::sync::LazyLock;

use utoipa::openapi::Required;
use utoipa::openapi::path::{Operation, ParameterBuilder, ParameterIn};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};

use crate::api;
use crate::errors::back_office::reseller_errors;
use crate::errors::envelope::ErrorEnvelope;
use crate::openapi::links::Links;

/// Returns the description as JSON.
#[must_use]
pub fn openapi_json() -> &'static str {
    static JSON: LazyLock<String> = LazyLock::new(|| ApiDescription::openapi().to_json().unwrap_or_default());
    &JSON
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "POS activation",
        description = "Activation of payment terminals: bootstrap, pairing code, status and claim; and the management \
                       of merchants, locations and devices by merchants and resellers.\n\nEvery error has one \
                       envelope, `{\"error\": {code, message, details?, trace_id}}`. Every response has an \
                       `X-Trace-Id` header: the trace id of the request's `traceparent` header (W3C Trace Context), or \
                       a new one.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    paths(
        api::pairing::bootstrap::bootstrap, api::pairing::pairing_code::pairing_code, api::pairing::status::status, api::pairing::claim::claim, api::tenancy::session::initiate, api::tenancy::session::end,
        api::tenancy::session::backchannel_logout, api::tenancy::client_session::client_session, api::tenancy::client_session::auth_token, api::operations::health::live, api::operations::health::ready,
        api::operations::metrics::metrics, api::fleet::devices::provision_device, api::fleet::devices::list_devices,
        api::fleet::devices::show_device, api::fleet::devices::update_device, api::fleet::devices::release_device,
        api::fleet::devices::decommission_device, api::fleet::devices::device_events, api::fleet::devices::transfer_device,
        api::tenancy::locations::add_location, api::tenancy::locations::list_locations, api::tenancy::locations::show_location,
        api::tenancy::locations::update_location, api::tenancy::merchants::add_merchant, api::tenancy::merchants::list_merchants,
        api::tenancy::merchants::show_merchant, api::tenancy::merchants::update_merchant,
        api::fleet::import::import_devices,
    ),
    components(schemas(ErrorEnvelope<'static>)),
    modifiers(&Bearer, &ForResellers, &Links),
    tags(
        (name = "POS activation", description = "Called by terminals"),
        (name = "Merchant", description = "Called by merchants' portals and API clients"),
        (name = "Reseller", description = "Called by resellers' portals and API clients: the reseller's merchants, and \
                                           the merchant routes for one of these merchants"),
        (name = "Sessions", description = "Called by portals and API clients to start and end a session"),
        (name = "Operations", description = "Called by the operator's monitoring"),
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

/// Copies every merchant route to the reseller's path: a reseller may do for its merchant what the merchant may do.
struct ForResellers;

const MERCHANT: &str = "/merchant/";
const RESELLER: &str = "/reseller/merchants/{merchant_id}/";

impl Modify for ForResellers {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let merchant = openapi.paths.paths.iter().filter_map(|(path, item)| Some((path.strip_prefix(MERCHANT)?, item)));
        let copies: Vec<_> = merchant.map(|(rest, item)| (format!("{RESELLER}{rest}"), item.clone())).collect();
        for (path, mut item) in copies {
            for operation in [&mut item.get, &mut item.post, &mut item.patch].into_iter().flatten() {
                to_reseller_operation(&path, operation);
            }
            openapi.paths.paths.insert(path, item);
        }
    }
}

fn to_reseller_operation(path: &str, operation: &mut Operation) {
    operation.tags = Some(vec!["Reseller".to_owned()]);
    operation.operation_id = operation.operation_id.take().map(|id| format!("reseller_{id}"));
    let merchant = ParameterBuilder::new()
        .name("merchant_id")
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .description(Some("The merchant"))
        .schema(Some(utoipa::schema!(uuid::Uuid)));
    operation.parameters.get_or_insert_default().insert(0, merchant.build().into());
    operation.responses.responses.extend(reseller_errors(path));
}
