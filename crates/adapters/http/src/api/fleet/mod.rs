//! Routes of devices and their bulk import, for merchants and for resellers.

pub(crate) mod device_responses;
pub(crate) mod devices;
pub(crate) mod import;

use actix_web::web;

use crate::extract::{MerchantSelf, ResellerManaged};
use crate::server::route_spec::{RouteSpec, route};

/// Routes of a merchant for its own devices, and the same of its reseller.
pub(crate) fn routes() -> Vec<RouteSpec> {
    vec![
        route("/merchant/devices")
            .get(web::route().to(devices::list_devices::<MerchantSelf>))
            .post(web::route().to(devices::provision_device::<MerchantSelf>))
            .with_body(),
        route("/merchant/devices/{device_id}")
            .get(web::route().to(devices::show_device::<MerchantSelf>))
            .patch(web::route().to(devices::update_device::<MerchantSelf>))
            .with_body(),
        route("/merchant/devices/{device_id}/release").post(web::route().to(devices::release_device::<MerchantSelf>)),
        route("/merchant/devices/{device_id}/decommission")
            .post(web::route().to(devices::decommission_device::<MerchantSelf>)),
        route("/merchant/devices/{device_id}/events").get(web::route().to(devices::device_events::<MerchantSelf>)),
        route("/reseller/devices/import").post(web::route().to(import::import_devices)).with_file(),
        route("/reseller/merchants/{merchant_id}/devices")
            .get(web::route().to(devices::list_devices::<ResellerManaged>))
            .post(web::route().to(devices::provision_device::<ResellerManaged>))
            .with_body(),
        route("/reseller/merchants/{merchant_id}/devices/{device_id}")
            .get(web::route().to(devices::show_device::<ResellerManaged>))
            .patch(web::route().to(devices::update_device::<ResellerManaged>))
            .with_body(),
        route("/reseller/merchants/{merchant_id}/devices/{device_id}/release")
            .post(web::route().to(devices::release_device::<ResellerManaged>)),
        route("/reseller/merchants/{merchant_id}/devices/{device_id}/decommission")
            .post(web::route().to(devices::decommission_device::<ResellerManaged>)),
        route("/reseller/merchants/{merchant_id}/devices/{device_id}/transfer")
            .post(web::route().to(devices::transfer_device))
            .with_body(),
        route("/reseller/merchants/{merchant_id}/devices/{device_id}/events")
            .get(web::route().to(devices::device_events::<ResellerManaged>)),
    ]
}
