use std::fmt::Display;
use std::future::{Ready, ready};
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::http::header::{HeaderMap, HeaderName, USER_AGENT};
use actix_web::{FromRequest, HttpRequest};
use pos_application::TerminalCall;
use pos_domain::{CallContext, DeviceId, UserAgent};
use serde_json::json;

use super::api;
use super::header::{Sole, sole};
use crate::http::api_error::{ApiError, Failure};
use crate::http::call_log::{about_device, context};

/// "POS Activation auth": the three terminal headers, checked in the contract's order (section 2).
pub(in crate::http) struct Terminal(pub(in crate::http) TerminalCall);

static DEVICE_ID: Header = Header { name: HeaderName::from_static("x-device-id"), told: "X-Device-Id" };
static AGENT: Header = Header { name: USER_AGENT, told: "User-Agent" };
static CLIENT_TYPE: Header = Header { name: HeaderName::from_static("x-client-type"), told: "X-Client-Type" };

/// The same of a terminal that asks for a new code, which is limited for each device as well.
pub(in crate::http) struct CodeRequest(pub(in crate::http) TerminalCall);

/// A header, and what callers know it by.
struct Header {
    name: HeaderName,
    told: &'static str,
}

impl FromRequest for Terminal {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(read(request.headers(), context()).and_then(|call| {
            api(request)?.pacing.admit(call.context.origin).map_err(too_many)?;
            Ok(Self(call))
        }))
    }
}

impl FromRequest for CodeRequest {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(read(request.headers(), context()).and_then(|call| {
            api(request)?.pacing.admit_new_code(&call.device_id, call.context.origin).map_err(too_many)?;
            Ok(Self(call))
        }))
    }
}

fn read(headers: &HeaderMap, context: CallContext) -> Result<TerminalCall, ApiError> {
    let device_id = DeviceId::parse(required(headers, &DEVICE_ID)?).map_err(|why| invalid(&DEVICE_ID, why))?;
    about_device(&device_id);
    let agent = UserAgent::parse(required(headers, &AGENT)?).map_err(|why| invalid(&AGENT, why))?;
    if required(headers, &CLIENT_TYPE)? != "pos" {
        return Err(invalid(&CLIENT_TYPE, "must be pos"));
    }
    Ok(TerminalCall { device_id, agent, context })
}

fn too_many(wait: Duration) -> ApiError {
    ApiError::new(Failure::TooManyAttempts, "Too many requests, try again later").retry_after(wait)
}

fn required<'a>(headers: &'a HeaderMap, header: &Header) -> Result<&'a str, ApiError> {
    match sole(headers, &header.name) {
        Sole::Value(text) => Ok(text),
        Sole::Missing => Err(ApiError::invalid(format!("{} header is required", header.told))),
        Sole::Repeated => Err(invalid(header, "must be sent once")),
        Sole::NotAscii => Err(invalid(header, "must consist of visible ASCII characters")),
    }
}

fn invalid(header: &Header, why: impl Display) -> ApiError {
    let name = header.told;
    ApiError::invalid(format!("{name} header is invalid")).details(json!({ "message": format!("{name} {why}") }))
}
