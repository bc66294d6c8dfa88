//! Extractors of the terminal headers, with rate limiting.

use std::fmt::Display;
use std::future::{Ready, ready};
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::http::header::{HeaderMap, HeaderName, USER_AGENT};
use actix_web::{FromRequest, HttpRequest};
use pos_application::pairing::TerminalCall;
use pos_domain::device::UserAgent;
use pos_domain::shared::{DeviceId, RequestContext};

use crate::errors::api_error::ApiError;
use crate::errors::table::{RATE_LIMITED, header_invalid, header_missing};
use crate::extract::api;
use crate::extract::header::{SingleHeader, single_header};
use crate::observe::call_log::{context, record_device};

/// Extractor of "POS Activation auth": the three terminal headers, checked in the contract's order (section 2).
pub(crate) struct Terminal(pub(crate) TerminalCall);

static DEVICE_ID: Header = Header { name: HeaderName::from_static("x-device-id"), display_name: "X-Device-Id" };
static AGENT: Header = Header { name: USER_AGENT, display_name: "User-Agent" };
static CLIENT_TYPE: Header = Header { name: HeaderName::from_static("x-client-type"), display_name: "X-Client-Type" };

/// Extractor of the same headers for a request for a pairing code, which has a rate limit per device too.
pub(crate) struct CodeRequest(pub(crate) TerminalCall);

/// A header and its name in messages.
struct Header {
    name: HeaderName,
    display_name: &'static str,
}

impl FromRequest for Terminal {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(read(request.headers(), context()).and_then(|call| {
            api(request)?.rate_limiter.admit(call.context.client_ip).map_err(rate_limited)?;
            Ok(Self(call))
        }))
    }
}

impl FromRequest for CodeRequest {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(read(request.headers(), context()).and_then(|call| {
            api(request)?.rate_limiter.admit_new_code(&call.device_id, call.context.client_ip).map_err(rate_limited)?;
            Ok(Self(call))
        }))
    }
}

fn read(headers: &HeaderMap, context: RequestContext) -> Result<TerminalCall, ApiError> {
    let device_id = DeviceId::parse(required(headers, &DEVICE_ID)?).map_err(|why| invalid(&DEVICE_ID, why))?;
    record_device(&device_id);
    let agent = UserAgent::parse(required(headers, &AGENT)?).map_err(|why| invalid(&AGENT, why))?;
    if required(headers, &CLIENT_TYPE)? != "pos" {
        return Err(invalid(&CLIENT_TYPE, "must be pos"));
    }
    Ok(TerminalCall { device_id, agent, context })
}

fn rate_limited(wait: Duration) -> ApiError {
    ApiError::from(RATE_LIMITED).retry_after(wait)
}

fn required<'a>(headers: &'a HeaderMap, header: &Header) -> Result<&'a str, ApiError> {
    match single_header(headers, &header.name) {
        SingleHeader::Value(text) => Ok(text),
        SingleHeader::Missing => Err(header_missing(header.display_name)),
        SingleHeader::Repeated => Err(invalid(header, "must be sent once")),
        SingleHeader::NotAscii => Err(invalid(header, "must consist of visible ASCII characters")),
    }
}

fn invalid(header: &Header, why: impl Display) -> ApiError {
    header_invalid(header.display_name, why)
}
