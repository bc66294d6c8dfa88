use std::future::Future;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::http::header::AUTHORIZATION;
use actix_web::{FromRequest, HttpRequest};
use pos_port_identity::{Principal, VerifyError};

use super::api;
use super::header::{Sole, sole};
use crate::http::admission::Admission;
use crate::http::api_error::{ApiError, Failure};
use crate::http::call_log::by_user;

/// A caller whose bearer token was verified (RFC 6750), whoever it is.
pub(in crate::http) struct Caller(pub(in crate::http) Principal);

const ASK_FOR_TOKEN: &str = "Bearer";
const ASK_FOR_ANOTHER_TOKEN: &str = "Bearer error=\"invalid_token\"";

impl FromRequest for Caller {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move { verify(&request).await })
    }
}

async fn verify(request: &HttpRequest) -> Result<Caller, ApiError> {
    let token = bearer_token(request)?;
    let api = api(request)?;
    let principal = api.verifier.verify(token).await.map_err(refused)?;
    by_user(&principal.user_id);
    if let Some(admission) = Admission::of(request) {
        admission.by_account(&principal.user_id).await?;
    }
    Ok(Caller(principal))
}

fn bearer_token(request: &HttpRequest) -> Result<&str, ApiError> {
    let missing = || ApiError::unauthorized("Authorization header with a Bearer token is required", ASK_FOR_TOKEN);
    let Sole::Value(credentials) = sole(request.headers(), &AUTHORIZATION) else {
        return Err(missing());
    };
    let (scheme, token) = credentials.split_once(' ').ok_or_else(missing)?;
    if scheme.eq_ignore_ascii_case("Bearer") { Ok(token.trim_start()) } else { Err(missing()) }
}

fn refused(error: VerifyError) -> ApiError {
    match error {
        VerifyError::Rejected(reason) => {
            tracing::debug!(reason, "token rejected");
            ApiError::unauthorized("Access token is invalid or expired", ASK_FOR_ANOTHER_TOKEN)
        }
        VerifyError::Claim { .. } => ApiError::new(Failure::Forbidden, error.to_string()),
        VerifyError::Unavailable => ApiError::unavailable().caused_by(error),
    }
}
