//! What may be asked next with what an answer told: the links of the API's description. Programs that read it can walk
//! from a device that was made known to its code and its claim; `scripts/check-openapi` does.
//!
//! A `POST` from which a link goes out is where walkers begin, with a body of their own making. So no link leaves a claim:
//! it would begin with guesses, and too many of those are answered 429.

use serde_json::json;
use utoipa::Modify;
use utoipa::openapi::RefOr;
use utoipa::openapi::link::Link;
use utoipa::openapi::path::Operation;

/// The links, put in once every route is described.
pub(super) struct Links;

/// From an operation's success to another operation, and what is taken along.
struct Step {
    from: &'static str,
    to: &'static str,
    /// The parameter or the member of the body that takes it, and where it comes from.
    taker: Taker,
    value: &'static str,
}

/// What takes a value along.
#[derive(Clone, Copy)]
enum Taker {
    Parameter(&'static str),
    Body(&'static str),
}

use Taker::{Body, Parameter};

const DEVICE: &str = "$response.body#/device_id";
const LOCATION: &str = "$response.body#/location_id";
const MERCHANT: &str = "$response.body#/merchant_id";

const fn step(from: &'static str, to: &'static str, taker: Taker, value: &'static str) -> Step {
    Step { from, to, taker, value }
}

/// The walks of a terminal and of those it belongs to. What merchants do with their own, resellers do in their affairs.
const STEPS: [Step; 16] = [
    step("provision_device", "bootstrap", Parameter("X-Device-Id"), DEVICE),
    step("provision_device", "pairing_code", Parameter("X-Device-Id"), DEVICE),
    step("provision_device", "status", Parameter("X-Device-Id"), DEVICE),
    step("provision_device", "show_device", Parameter("device_id"), DEVICE),
    step("provision_device", "amend_device", Parameter("device_id"), DEVICE),
    step("provision_device", "device_events", Parameter("device_id"), DEVICE),
    step("provision_device", "decommission_device", Parameter("device_id"), DEVICE),
    step("pairing_code", "status", Parameter("X-Device-Id"), "$request.header.X-Device-Id"),
    step("pairing_code", "claim", Body("pairing_code"), "$response.body#/pairing_code"),
    step("add_location", "show_location", Parameter("location_id"), LOCATION),
    step("add_location", "amend_location", Parameter("location_id"), LOCATION),
    step("add_location", "provision_device", Body("location_id"), LOCATION),
    step("add_merchant", "show_merchant", Parameter("merchant_id"), MERCHANT),
    step("add_merchant", "amend_merchant", Parameter("merchant_id"), MERCHANT),
    step("add_merchant", "reseller_provision_device", Parameter("merchant_id"), MERCHANT),
    step("add_merchant", "reseller_add_location", Parameter("merchant_id"), MERCHANT),
];

const AS_RESELLER: &str = "reseller_";

impl Modify for Links {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let all = openapi.paths.paths.values_mut().flat_map(|item| [&mut item.get, &mut item.post, &mut item.patch]);
        let mut all: Vec<&mut Operation> = all.flatten().collect();
        let ids: Vec<String> = all.iter().filter_map(|operation| operation.operation_id.clone()).collect();
        for operation in &mut all {
            let Some(id) = operation.operation_id.clone() else { continue };
            let (own, reseller) = match id.strip_prefix(AS_RESELLER) {
                Some(own) => (own, true),
                None => (id.as_str(), false),
            };
            for step in STEPS.iter().filter(|step| step.from == own) {
                let beside = format!("{AS_RESELLER}{}", step.to);
                let beside = (reseller && ids.contains(&beside)).then_some(beside);
                add(operation, step, beside);
            }
        }
    }
}

/// Adds a link to an operation's success. One to a reseller's route stays with the same merchant.
fn add(operation: &mut Operation, step: &Step, beside: Option<String>) {
    let mut link = Link::builder();
    link = match step.taker {
        Parameter(name) => link.parameter(name, step.value),
        Body(name) => link.request_body(Some(json!({ name: step.value }))),
    };
    if beside.is_some() {
        link = link.parameter("merchant_id", "$request.path.merchant_id");
    }
    let to = beside.unwrap_or_else(|| step.to.to_owned());
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
    use crate::http::openapi_json;

    /// A misspelt name would be a link to nowhere, which a reader of the description need not mind.
    #[test]
    fn every_link_leads_somewhere_and_fills_what_is_there() {
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
                let to = to.unwrap_or_else(|| panic!("{name} leads nowhere"));
                for parameter in link["parameters"].as_object().into_iter().flatten().map(|(name, _)| name) {
                    let there = to["parameters"].as_array().unwrap().iter().any(|known| known["name"] == **parameter);
                    assert!(there, "{name} has no {parameter}");
                }
                assert!(link["requestBody"].is_null() || to["requestBody"].is_object(), "{name} takes no body");
                followed += 1;
            }
        }
        assert!(followed > STEPS.len(), "{followed}: every step, and the resellers' copies");
        for step in STEPS {
            let from =
                operations().find(|from| from["operationId"] == step.from).unwrap_or_else(|| panic!("{}", step.from));
            let text = from["responses"].to_string();
            assert!(text.contains(&format!("\"{}\":{{\"operationId\"", step.to)), "{} to {}", step.from, step.to);
        }
    }
}
