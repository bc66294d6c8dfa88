//! Extractor of a verified bearer token.

use std::future::Future;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::http::header::AUTHORIZATION;
use actix_web::{FromRequest, HttpRequest};
use pos_port_identity::{Principal, VerifyError};

use crate::errors::api_error::ApiError;
use crate::errors::table::{TOKEN_INVALID, TOKEN_MISSING, unusable_claim};
use crate::extract::api;
use crate::extract::header::{SingleHeader, single_header};
use crate::limits::admission::Admission;
use crate::observe::call_log::record_user;

/// Principal of a verified bearer token (RFC 6750).
pub(crate) struct Authenticated(pub(crate) Principal);

impl FromRequest for Authenticated {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move { verify(&request).await })
    }
}

async fn verify(request: &HttpRequest) -> Result<Authenticated, ApiError> {
    let token = bearer_token(request)?;
    let api = api(request)?;
    let principal = api.verifier.verify(token).await.map_err(to_error)?;
    record_user(&principal.user_id);
    if let Some(admission) = Admission::of(request) {
        admission.assign_account(&principal.user_id).await?;
    }
    Ok(Authenticated(principal))
}

fn bearer_token(request: &HttpRequest) -> Result<&str, ApiError> {
    let missing = || ApiError::from(TOKEN_MISSING);
    let SingleHeader::Value(credentials) = single_header(request.headers(), &AUTHORIZATION) else {
        return Err(missing());
    };
    let (scheme, token) = credentials.split_once(' ').ok_or_else(missing)?;
    if scheme.eq_ignore_ascii_case("Bearer") { Ok(token.trim_start()) } else { Err(missing()) }
}

fn to_error(error: VerifyError) -> ApiError {
    match error {
        VerifyError::Rejected(reason) => {
            tracing::debug!(reason, "token rejected");
            TOKEN_INVALID.into()
        }
        VerifyError::Claim { .. } => unusable_claim(&error),
        VerifyError::Unavailable => ApiError::unavailable().caused_by(error),
    }
}
