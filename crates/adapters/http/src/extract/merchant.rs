//! Extractor of a merchant session.

use std::future::Future;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use pos_application::tenancy::ActingError;
use pos_domain::shared::Claimant;
use pos_domain::tenancy::Denial;

use crate::errors::api_error::{ApiError, ErrorCode};
use crate::extract::Authenticated;
use crate::extract::api;
use crate::observe::call_log::record_merchant;

/// Caller with an initiated merchant session (contract, section 4).
pub(crate) struct Merchant(pub(crate) Claimant);

const SESSION_CHALLENGE: &str = "Bearer error=\"invalid_token\", error_description=\"Session has not been initiated\"";

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
        ActingError::NotInitiated => ApiError::unauthorized("Session has not been initiated", SESSION_CHALLENGE),
        ActingError::NotAMerchants | ActingError::NotAResellers | ActingError::Denied(Denial::Forbidden) => {
            ApiError::new(ErrorCode::Forbidden, error.to_string())
        }
        ActingError::Denied(Denial::Hidden) => ApiError::new(ErrorCode::NotFound, "Not found"),
        ActingError::Storage(error) => error.into(),
    }
}
