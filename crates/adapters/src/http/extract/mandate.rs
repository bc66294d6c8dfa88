use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use pos_application::Mandate;
use pos_domain::MerchantId;
use pos_port_identity::Principal;

use super::api;
use super::merchant::refused;
use super::{Caller, merchant_id};
use crate::http::Api;
use crate::http::api_error::ApiError;
use crate::http::call_log::{about_merchant, context};
use crate::http::fleet_failures::told;

/// A caller with a mandate in the affairs of one merchant: its own ([`Own`]), or the one that the path names and that is
/// its reseller's ([`Parent`]).
pub(in crate::http) struct Mandated<S> {
    pub(in crate::http) mandate: Mandate,
    pub(in crate::http) merchant_id: MerchantId,
    side: PhantomData<S>,
}

/// A caller with a reseller's session: a mandate in the affairs of all its merchants.
pub(in crate::http) struct OfReseller(pub(in crate::http) Mandate);

/// Who a route is for. A session of the other kind of party is 403/4003 there.
pub(in crate::http) trait Side: Sized + 'static {
    /// Resolves the caller.
    fn resolve(
        api: &Api,
        request: &HttpRequest,
        principal: &Principal,
    ) -> impl Future<Output = Result<(Mandate, MerchantId), ApiError>>;
}

/// The merchant itself: `/merchant/…`.
pub(in crate::http) struct Own;

/// The merchant's reseller: `/reseller/merchants/{merchant_id}/…`.
pub(in crate::http) struct Parent;

impl Side for Own {
    async fn resolve(api: &Api, _: &HttpRequest, principal: &Principal) -> Result<(Mandate, MerchantId), ApiError> {
        let member = api.sessions.current.of_merchant(principal).await.map_err(refused)?;
        let mandate = Mandate::of(&member, context());
        let id = mandate.merchant_id().ok_or_else(|| ApiError::internal("a merchant's session without a merchant"))?;
        Ok((mandate, id))
    }
}

impl Side for Parent {
    async fn resolve(
        api: &Api,
        request: &HttpRequest,
        principal: &Principal,
    ) -> Result<(Mandate, MerchantId), ApiError> {
        let mandate = of_reseller(api, principal).await?;
        let (id, about) = merchant_id(request)?;
        let narrowed = api.fleet.merchants.mandate(&mandate, id).await;
        Ok((narrowed.map_err(|error| told(error, about))?, id))
    }
}

async fn of_reseller(api: &Api, principal: &Principal) -> Result<Mandate, ApiError> {
    let member = api.sessions.current.of_reseller(principal).await.map_err(refused)?;
    Ok(Mandate::of(&member, context()))
}

impl<S: Side> FromRequest for Mandated<S> {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            let Caller(principal) = Caller::extract(&request).await?;
            let (mandate, merchant_id) = S::resolve(api(&request)?, &request, &principal).await?;
            about_merchant(merchant_id);
            Ok(Self { mandate, merchant_id, side: PhantomData })
        })
    }
}

impl FromRequest for OfReseller {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            let Caller(principal) = Caller::extract(&request).await?;
            of_reseller(api(&request)?, &principal).await.map(Self)
        })
    }
}
