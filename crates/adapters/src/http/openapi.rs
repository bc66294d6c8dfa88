//! The API as OpenAPI 3.1, made from the handlers and their types.

use std::sync::LazyLock;

use utoipa::openapi::Required;
use utoipa::openapi::path::{Operation, ParameterBuilder, ParameterIn};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};

use super::envelope::ErrorEnvelope;
use super::fleet_failures::at_resellers_side;
use super::links::Links;
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
        description = "Bootstrap, pairing code, status and claim: how a card terminal finds its merchant; and how \
                       resellers and merchants manage theirs.\n\nEvery \
                       failure has one envelope, `{\"error\": {code, message, details?, trace_id}}`; every answer has \
                       an `X-Trace-Id` header, taken from the caller's `traceparent` (W3C Trace Context) when it sent \
                       one.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    paths(
        routes::bootstrap, routes::pairing_code, routes::status, routes::claim, routes::initiate, routes::end,
        routes::backchannel_logout, routes::client_session, routes::auth_token, routes::live, routes::ready,
        routes::metrics, routes::devices::provision_device, routes::devices::list_devices,
        routes::devices::show_device, routes::devices::amend_device, routes::devices::release_device,
        routes::devices::decommission_device, routes::devices::device_events, routes::devices::move_device,
        routes::locations::add_location, routes::locations::list_locations, routes::locations::show_location,
        routes::locations::amend_location, routes::merchants::add_merchant, routes::merchants::list_merchants,
        routes::merchants::show_merchant, routes::merchants::amend_merchant,
        routes::import::import_devices,
    ),
    components(schemas(ErrorEnvelope<'static>)),
    modifiers(&Bearer, &ForResellers, &Links),
    tags(
        (name = "POS activation", description = "Called by the terminal"),
        (name = "Merchant", description = "Called from the merchant's portal"),
        (name = "Reseller", description = "Called from the reseller's portal: its merchants, and what a merchant's own \
                                           routes do, in the affairs of one of them"),
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

/// What a merchant may do, its reseller may do in its affairs: the same routes under another path, described once.
struct ForResellers;

const OWN: &str = "/merchant/";
const PARENT: &str = "/reseller/merchants/{merchant_id}/";

impl Modify for ForResellers {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let own = openapi.paths.paths.iter().filter_map(|(path, item)| Some((path.strip_prefix(OWN)?, item)));
        let copies: Vec<_> = own.map(|(rest, item)| (format!("{PARENT}{rest}"), item.clone())).collect();
        for (path, mut item) in copies {
            for operation in [&mut item.get, &mut item.post, &mut item.patch].into_iter().flatten() {
                for_reseller(&path, operation);
            }
            openapi.paths.paths.insert(path, item);
        }
    }
}

fn for_reseller(path: &str, operation: &mut Operation) {
    operation.tags = Some(vec!["Reseller".to_owned()]);
    operation.operation_id = operation.operation_id.take().map(|id| format!("reseller_{id}"));
    let merchant = ParameterBuilder::new()
        .name("merchant_id")
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .description(Some("The merchant"))
        .schema(Some(utoipa::schema!(uuid::Uuid)));
    operation.parameters.get_or_insert_default().insert(0, merchant.build().into());
    operation.responses.responses.extend(at_resellers_side(path));
}
