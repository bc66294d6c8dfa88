//! Extractors of an authorized merchant or reseller session.

use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use pos_application::support::{Authorization, MerchantAuthorization};
use pos_port_identity::Principal;

use crate::errors::api_error::ApiError;
use crate::errors::back_office::to_api_error;
use crate::extract::api;
use crate::extract::merchant::to_error;
use crate::extract::{Authenticated, merchant_id};
use crate::observe::call_log::{context, record_merchant};
use crate::state::Api;

/// Authorization for one merchant: the caller's own ([`MerchantSelf`]), or a merchant of the calling reseller, named in the path
/// ([`ResellerManaged`]).
pub(crate) struct AuthorizedFor<S> {
    pub(crate) authorization: MerchantAuthorization,
    access: PhantomData<S>,
}

/// Authorization of a reseller's session, for all its merchants.
pub(crate) struct ResellerAuth(pub(crate) Authorization);

/// Kind of access to a route. A session of the other kind of party is rejected with 403/4003.
pub(crate) trait Access: Sized + 'static {
    /// Resolves the caller's authorization for the merchant.
    fn resolve(
        api: &Api,
        request: &HttpRequest,
        principal: &Principal,
    ) -> impl Future<Output = Result<MerchantAuthorization, ApiError>>;
}

/// Access of the merchant itself: `/merchant/…`.
pub(crate) struct MerchantSelf;

/// Access of the merchant's reseller: `/reseller/merchants/{merchant_id}/…`.
pub(crate) struct ResellerManaged;

impl Access for MerchantSelf {
    async fn resolve(api: &Api, _: &HttpRequest, principal: &Principal) -> Result<MerchantAuthorization, ApiError> {
        let member = api.use_cases.sessions.current.of_merchant(principal).await.map_err(to_error)?;
        let authorization = MerchantAuthorization::of(&member, context());
        authorization.ok_or_else(|| ApiError::internal("the merchant session has no merchant"))
    }
}

impl Access for ResellerManaged {
    async fn resolve(
        api: &Api,
        request: &HttpRequest,
        principal: &Principal,
    ) -> Result<MerchantAuthorization, ApiError> {
        let authorization = of_reseller(api, principal).await?;
        let (id, about) = merchant_id(request)?;
        let narrowed = api.use_cases.tenancy.merchants.authorization(&authorization, id).await;
        narrowed.map_err(|error| to_api_error(error, about))
    }
}

async fn of_reseller(api: &Api, principal: &Principal) -> Result<Authorization, ApiError> {
    let member = api.use_cases.sessions.current.of_reseller(principal).await.map_err(to_error)?;
    Ok(Authorization::of(&member, context()))
}

impl<S: Access> FromRequest for AuthorizedFor<S> {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            let Authenticated(principal) = Authenticated::extract(&request).await?;
            let authorization = S::resolve(api(&request)?, &request, &principal).await?;
            record_merchant(authorization.merchant_id());
            Ok(Self { authorization, access: PhantomData })
        })
    }
}

impl FromRequest for ResellerAuth {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            let Authenticated(principal) = Authenticated::extract(&request).await?;
            of_reseller(api(&request)?, &principal).await.map(Self)
        })
    }
}
