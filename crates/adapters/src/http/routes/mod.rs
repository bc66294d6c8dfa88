//! The routes, a file each: request, answer, handler, and how its failures are told.

mod bootstrap;
mod claim;
mod client_session;
mod device_answers;
pub(super) mod devices;
mod fleet;
mod health;
pub(super) mod import;
pub(super) mod locations;
pub(super) mod merchants;
mod metrics;
mod pairing_code;
mod session;
mod status;

use actix_web::web;

pub(super) use bootstrap::__path_bootstrap;
pub(super) use claim::__path_claim;
pub(super) use client_session::{__path_auth_token, __path_client_session};
pub(super) use health::{__path_live, __path_ready};
pub(super) use metrics::__path_metrics;
pub(super) use pairing_code::__path_pairing_code;
pub(super) use session::{__path_backchannel_logout, __path_end, __path_initiate};
pub(super) use status::__path_status;

use super::extract::{Own, Parent};
use super::resource::{Served, at};

/// Every route of the API.
pub(super) fn all(metrics_enabled: bool) -> Vec<Served> {
    let to_terminals = [
        at("/pos/bootstrap").post(web::route().to(bootstrap::bootstrap)).for_terminals(),
        at("/pos/pairing-code").post(web::route().to(pairing_code::pairing_code)).for_terminals(),
        at("/pos/status").get(web::route().to(status::status)).for_terminals().with_wait(),
        at("/pos/claim").post(web::route().to(claim::claim)).with_body(),
    ];
    let to_sessions = [
        at("/session/initiate").post(web::route().to(session::initiate)).with_body(),
        at("/session/end").post(web::route().to(session::end)),
        at("/session/backchannel-logout")
            .post(web::route().to(session::backchannel_logout))
            .with_body()
            .for_logout_notices(),
        at("/client/session").post(web::route().to(client_session::client_session)).with_body().for_strangers(),
        at("/auth/token").post(web::route().to(client_session::auth_token)).with_body().for_strangers(),
    ];
    let to_operations = [
        at("/health/live").get(web::route().to(health::live)).for_operators(),
        at("/health/ready").get(web::route().to(health::ready)).for_operators(),
    ];
    let metrics = metrics_enabled.then(|| at("/metrics").get(web::route().to(metrics::metrics)).for_operators());
    let mut all = Vec::new();
    all.extend(to_terminals);
    all.extend(to_sessions);
    all.extend(to_merchants());
    all.extend(to_resellers());
    all.extend(to_operations);
    all.extend(metrics);
    all
}

/// A merchant in its own affairs. `to_resellers` has the same with [`Parent`] for [`Own`].
fn to_merchants() -> [Served; 7] {
    [
        at("/merchant/devices")
            .get(web::route().to(devices::list_devices::<Own>))
            .post(web::route().to(devices::provision_device::<Own>))
            .with_body(),
        at("/merchant/devices/{device_id}")
            .get(web::route().to(devices::show_device::<Own>))
            .patch(web::route().to(devices::amend_device::<Own>))
            .with_body(),
        at("/merchant/devices/{device_id}/release").post(web::route().to(devices::release_device::<Own>)),
        at("/merchant/devices/{device_id}/decommission").post(web::route().to(devices::decommission_device::<Own>)),
        at("/merchant/devices/{device_id}/events").get(web::route().to(devices::device_events::<Own>)),
        at("/merchant/locations")
            .get(web::route().to(locations::list_locations::<Own>))
            .post(web::route().to(locations::add_location::<Own>))
            .with_body(),
        at("/merchant/locations/{location_id}")
            .get(web::route().to(locations::show_location::<Own>))
            .patch(web::route().to(locations::amend_location::<Own>))
            .with_body(),
    ]
}

/// A reseller, and in the affairs of one of its merchants.
fn to_resellers() -> [Served; 11] {
    [
        at("/reseller/devices/import").post(web::route().to(import::import_devices)).with_file(),
        at("/reseller/merchants")
            .get(web::route().to(merchants::list_merchants))
            .post(web::route().to(merchants::add_merchant))
            .with_body(),
        at("/reseller/merchants/{merchant_id}")
            .get(web::route().to(merchants::show_merchant))
            .patch(web::route().to(merchants::amend_merchant))
            .with_body(),
        at("/reseller/merchants/{merchant_id}/devices")
            .get(web::route().to(devices::list_devices::<Parent>))
            .post(web::route().to(devices::provision_device::<Parent>))
            .with_body(),
        at("/reseller/merchants/{merchant_id}/devices/{device_id}")
            .get(web::route().to(devices::show_device::<Parent>))
            .patch(web::route().to(devices::amend_device::<Parent>))
            .with_body(),
        at("/reseller/merchants/{merchant_id}/devices/{device_id}/release")
            .post(web::route().to(devices::release_device::<Parent>)),
        at("/reseller/merchants/{merchant_id}/devices/{device_id}/decommission")
            .post(web::route().to(devices::decommission_device::<Parent>)),
        at("/reseller/merchants/{merchant_id}/devices/{device_id}/move")
            .post(web::route().to(devices::move_device))
            .with_body(),
        at("/reseller/merchants/{merchant_id}/devices/{device_id}/events")
            .get(web::route().to(devices::device_events::<Parent>)),
        at("/reseller/merchants/{merchant_id}/locations")
            .get(web::route().to(locations::list_locations::<Parent>))
            .post(web::route().to(locations::add_location::<Parent>))
            .with_body(),
        at("/reseller/merchants/{merchant_id}/locations/{location_id}")
            .get(web::route().to(locations::show_location::<Parent>))
            .patch(web::route().to(locations::amend_location::<Parent>))
            .with_body(),
    ]
}
