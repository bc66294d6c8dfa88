use std::future::Future;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use pos_application::NotActing;
use pos_domain::{Claimant, Denial};

use super::Caller;
use super::api;
use crate::http::api_error::{ApiError, Failure};
use crate::http::call_log::about_merchant;

/// A caller who acts for a merchant, by the session that was initiated with its token's session (contract, section 4).
pub(in crate::http) struct Merchant(pub(in crate::http) Claimant);

const ASK_FOR_SESSION: &str = "Bearer error=\"invalid_token\", error_description=\"Session has not been initiated\"";

impl FromRequest for Merchant {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            let Caller(principal) = Caller::extract(&request).await?;
            let api = api(&request)?;
            let claimant = api.sessions.current.claimant(&principal).await.map_err(refused)?;
            about_merchant(claimant.merchant_id);
            Ok(Self(claimant))
        })
    }
}

pub(super) fn refused(error: NotActing) -> ApiError {
    match error {
        NotActing::NotInitiated => ApiError::unauthorized("Session has not been initiated", ASK_FOR_SESSION),
        NotActing::NotAMerchants | NotActing::NotAResellers | NotActing::Denied(Denial::Forbidden) => {
            ApiError::new(Failure::Forbidden, error.to_string())
        }
        NotActing::Denied(Denial::Hidden) => ApiError::new(Failure::NotFound, "Not found"),
        NotActing::Storage(error) => error.into(),
    }
}
