//! Routes of sessions, merchants and locations.

pub(crate) mod client_session;
pub(crate) mod locations;
pub(crate) mod merchants;
pub(crate) mod session;

use actix_web::web;

use crate::extract::{MerchantSelf, ResellerManaged};
use crate::server::route_spec::{RouteSpec, route};

/// Routes of sessions, then those of merchants and locations.
pub(crate) fn routes() -> Vec<RouteSpec> {
    vec![
        route("/session/initiate").post(web::route().to(session::initiate)).with_body(),
        route("/session/end").post(web::route().to(session::end)),
        route("/session/backchannel-logout")
            .post(web::route().to(session::backchannel_logout))
            .with_body()
            .for_logout_notices(),
        route("/client/session")
            .post(web::route().to(client_session::client_session))
            .with_body()
            .for_body_authenticated(),
        route("/auth/token").post(web::route().to(client_session::auth_token)).with_body().for_body_authenticated(),
        route("/merchant/locations")
            .get(web::route().to(locations::list_locations::<MerchantSelf>))
            .post(web::route().to(locations::add_location::<MerchantSelf>))
            .with_body(),
        route("/merchant/locations/{location_id}")
            .get(web::route().to(locations::show_location::<MerchantSelf>))
            .patch(web::route().to(locations::update_location::<MerchantSelf>))
            .with_body(),
        route("/reseller/merchants")
            .get(web::route().to(merchants::list_merchants))
            .post(web::route().to(merchants::add_merchant))
            .with_body(),
        route("/reseller/merchants/{merchant_id}")
            .get(web::route().to(merchants::show_merchant))
            .patch(web::route().to(merchants::update_merchant))
            .with_body(),
        route("/reseller/merchants/{merchant_id}/locations")
            .get(web::route().to(locations::list_locations::<ResellerManaged>))
            .post(web::route().to(locations::add_location::<ResellerManaged>))
            .with_body(),
        route("/reseller/merchants/{merchant_id}/locations/{location_id}")
            .get(web::route().to(locations::show_location::<ResellerManaged>))
            .patch(web::route().to(locations::update_location::<ResellerManaged>))
            .with_body(),
    ]
}
