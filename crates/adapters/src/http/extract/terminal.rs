use std::fmt::Display;
use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::http::header::HeaderMap;
use actix_web::{FromRequest, HttpRequest, web};
use pos_application::TerminalCall;
use pos_domain::{CallContext, DeviceId, UserAgent};
use serde_json::json;

use super::Context;
use super::header::{Sole, sole};
use crate::http::Api;
use crate::http::api_error::{ApiError, Failure};

/// "POS Activation auth": the three terminal headers, checked in the contract's order (section 2).
pub(in crate::http) struct Terminal(pub(in crate::http) TerminalCall);

const DEVICE_ID: &str = "X-Device-Id";
const USER_AGENT: &str = "User-Agent";
const CLIENT_TYPE: &str = "X-Client-Type";

impl FromRequest for Terminal {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(read(request.headers(), Context::of(request)).and_then(|call| admitted(request, call)).map(Self))
    }
}

fn read(headers: &HeaderMap, context: CallContext) -> Result<TerminalCall, ApiError> {
    let device_id = DeviceId::parse(required(headers, DEVICE_ID)?).map_err(|why| invalid(DEVICE_ID, why))?;
    tracing::Span::current().record("device_id", device_id.as_str());
    let agent = UserAgent::parse(required(headers, USER_AGENT)?).map_err(|why| invalid(USER_AGENT, why))?;
    if required(headers, CLIENT_TYPE)? != "pos" {
        return Err(invalid(CLIENT_TYPE, "must be pos"));
    }
    Ok(TerminalCall { device_id, agent, context })
}

/// The call, unless its device or its address calls too often.
fn admitted(request: &HttpRequest, call: TerminalCall) -> Result<TerminalCall, ApiError> {
    let api = request.app_data::<web::Data<Api>>().ok_or_else(|| ApiError::internal("the API is not wired"))?;
    match api.pacing.admit(&call.device_id, call.context.origin) {
        Ok(()) => Ok(call),
        Err(wait) => {
            Err(ApiError::new(Failure::TooManyAttempts, "Too many requests, try again later").retry_after(wait))
        }
    }
}

fn required<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<&'a str, ApiError> {
    match sole(headers, name) {
        Sole::Value(text) => Ok(text),
        Sole::Missing => Err(ApiError::invalid(format!("{name} header is required"))),
        Sole::Repeated => Err(invalid(name, "must be sent once")),
        Sole::NotAscii => Err(invalid(name, "must consist of visible ASCII characters")),
    }
}

fn invalid(name: &'static str, why: impl Display) -> ApiError {
    ApiError::invalid(format!("{name} header is invalid")).details(json!({ "message": format!("{name} {why}") }))
}
