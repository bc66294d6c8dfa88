//! OpenAPI links: which operation can follow a response, and which of its values the operation takes.
//!
//! A client can follow them from a provisioned device to its code and its claim; `scripts/check-openapi` does. A
//! link-following client starts at any `POST` that has links, with a generated body. A claim therefore has no links:
//! the client would start by guessing codes, and too many guesses are answered 429.

use serde_json::json;
use utoipa::Modify;
use utoipa::openapi::RefOr;
use utoipa::openapi::link::Link;
use utoipa::openapi::path::Operation;

/// Adds the links after every route is described.
pub(crate) struct Links;

/// A link from a successful response to another operation, with the value it passes on.
struct LinkSpec {
    from: &'static str,
    to: &'static str,
    /// The parameter or body member that receives the value.
    target: Target,
    /// Runtime expression of the value.
    value: &'static str,
}

/// Receiver of a link's value.
#[derive(Clone, Copy)]
enum Target {
    Parameter(&'static str),
    Body(&'static str),
}

use Target::{Body, Parameter};

const DEVICE: &str = "$response.body#/device_id";
const LOCATION: &str = "$response.body#/location_id";
const MERCHANT: &str = "$response.body#/merchant_id";

const fn spec(from: &'static str, to: &'static str, target: Target, value: &'static str) -> LinkSpec {
    LinkSpec { from, to, target, value }
}

/// Links of the terminal, merchant and reseller routes. [`Links`] copies those of merchant routes to reseller routes.
const LINKS: [LinkSpec; 16] = [
    spec("provision_device", "bootstrap", Parameter("X-Device-Id"), DEVICE),
    spec("provision_device", "pairing_code", Parameter("X-Device-Id"), DEVICE),
    spec("provision_device", "status", Parameter("X-Device-Id"), DEVICE),
    spec("provision_device", "show_device", Parameter("device_id"), DEVICE),
    spec("provision_device", "update_device", Parameter("device_id"), DEVICE),
    spec("provision_device", "device_events", Parameter("device_id"), DEVICE),
    spec("provision_device", "decommission_device", Parameter("device_id"), DEVICE),
    spec("pairing_code", "status", Parameter("X-Device-Id"), "$request.header.X-Device-Id"),
    spec("pairing_code", "claim", Body("pairing_code"), "$response.body#/pairing_code"),
    spec("add_location", "show_location", Parameter("location_id"), LOCATION),
    spec("add_location", "update_location", Parameter("location_id"), LOCATION),
    spec("add_location", "provision_device", Body("location_id"), LOCATION),
    spec("add_merchant", "show_merchant", Parameter("merchant_id"), MERCHANT),
    spec("add_merchant", "update_merchant", Parameter("merchant_id"), MERCHANT),
    spec("add_merchant", "reseller_provision_device", Parameter("merchant_id"), MERCHANT),
    spec("add_merchant", "reseller_add_location", Parameter("merchant_id"), MERCHANT),
];

const RESELLER_PREFIX: &str = "reseller_";

impl Modify for Links {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let all = openapi.paths.paths.values_mut().flat_map(|item| [&mut item.get, &mut item.post, &mut item.patch]);
        let mut all: Vec<&mut Operation> = all.flatten().collect();
        let ids: Vec<String> = all.iter().filter_map(|operation| operation.operation_id.clone()).collect();
        for operation in &mut all {
            let Some(id) = operation.operation_id.clone() else { continue };
            let (own, reseller) = match id.strip_prefix(RESELLER_PREFIX) {
                Some(own) => (own, true),
                None => (id.as_str(), false),
            };
            for spec in LINKS.iter().filter(|spec| spec.from == own) {
                let counterpart = format!("{RESELLER_PREFIX}{}", spec.to);
                let counterpart = (reseller && ids.contains(&counterpart)).then_some(counterpart);
                add(operation, spec, counterpart);
            }
        }
    }
}

/// Adds a link to the successful responses of an operation. `counterpart` is the reseller's operation to link to instead;
/// it is called for the same merchant.
fn add(operation: &mut Operation, spec: &LinkSpec, counterpart: Option<String>) {
    let mut link = Link::builder();
    link = match spec.target {
        Parameter(name) => link.parameter(name, spec.value),
        Body(name) => link.request_body(Some(json!({ name: spec.value }))),
    };
    if counterpart.is_some() {
        link = link.parameter("merchant_id", "$request.path.merchant_id");
    }
    let to = counterpart.unwrap_or_else(|| spec.to.to_owned());
    let link = link.operation_id(to.clone()).build();
    let responses = operation.responses.responses.iter_mut();
    for (_, response) in responses.filter(|(status, _)| status.starts_with('2')) {
        if let RefOr::T(response) = response {
            response.links.insert(to.clone(), RefOr::T(link.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::openapi_json;

    /// Nothing else reports a misspelt operation or parameter: readers may ignore broken links.
    #[test]
    fn every_link_names_an_existing_operation_and_parameter() {
        let api: Value = serde_json::from_str(openapi_json()).unwrap();
        let operations = || {
            let items = api["paths"].as_object().unwrap().values();
            items.flat_map(|item| item.as_object().unwrap().values()).filter(|operation| operation.is_object())
        };
        let mut followed = 0;
        for operation in operations() {
            let links =
                operation["responses"].as_object().unwrap().values().filter_map(|answer| answer["links"].as_object());
            for (name, link) in links.flatten() {
                let to = operations().find(|to| to["operationId"] == link["operationId"]);
                let to = to.unwrap_or_else(|| panic!("no operation {name}"));
                for parameter in link["parameters"].as_object().into_iter().flatten().map(|(name, _)| name) {
                    let exists = to["parameters"].as_array().unwrap().iter().any(|known| known["name"] == **parameter);
                    assert!(exists, "{name} has no {parameter}");
                }
                assert!(link["requestBody"].is_null() || to["requestBody"].is_object(), "{name} takes no body");
                followed += 1;
            }
        }
        assert!(followed > LINKS.len(), "{followed}: every link, and the copies for resellers");
        for spec in LINKS {
            let from =
                operations().find(|from| from["operationId"] == spec.from).unwrap_or_else(|| panic!("{}", spec.from));
            let text = from["responses"].to_string();
            assert!(text.contains(&format!("\"{}\":{{\"operationId\"", spec.to)), "{} to {}", spec.from, spec.to);
        }
    }
}
