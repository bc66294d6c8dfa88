//! Extractor of a merchant session.

use std::future::Future;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use pos_application::tenancy::ActingError;
use pos_domain::shared::Claimant;
use pos_domain::tenancy::Denial;

use crate::errors::api_error::ApiError;
use crate::errors::table::{NOT_A_MERCHANTS, NOT_A_RESELLERS, NOT_FOUND, NOT_INITIATED, ROLE_TOO_LOW};
use crate::extract::Authenticated;
use crate::extract::api;
use crate::observe::call_log::record_merchant;

/// Caller with an initiated merchant session (contract, section 4).
pub(crate) struct Merchant(pub(crate) Claimant);

impl FromRequest for Merchant {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            let Authenticated(principal) = Authenticated::extract(&request).await?;
            let api = api(&request)?;
            let claimant = api.use_cases.sessions.current.claimant(&principal).await.map_err(to_error)?;
            record_merchant(claimant.merchant_id);
            Ok(Self(claimant))
        })
    }
}

pub(super) fn to_error(error: ActingError) -> ApiError {
    match error {
        ActingError::NotInitiated => NOT_INITIATED.into(),
        ActingError::NotAMerchants => NOT_A_MERCHANTS.into(),
        ActingError::NotAResellers => NOT_A_RESELLERS.into(),
        ActingError::Denied(Denial::Forbidden) => ROLE_TOO_LOW.into(),
        ActingError::Denied(Denial::Hidden) => NOT_FOUND.into(),
        ActingError::Storage(error) => error.into(),
    }
}
