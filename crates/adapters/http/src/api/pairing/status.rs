//! `GET /pos/status`: status polling, with long polling by `Prefer: wait`.

use std::pin::pin;
use std::time::Duration;

use actix_web::http::header::{HeaderValue, RETRY_AFTER};
use actix_web::{HttpMessage as _, HttpRequest, HttpResponse};
use pos_application::pairing::{CheckStatusError, CheckedStatus, StatusAnswer};
use serde::Serialize;
use utoipa::ToSchema;

use crate::errors::api_error::ApiError;
use crate::extract::{Prefer, Terminal, api};
use crate::limits::concurrency_limit::Permit;
use crate::limits::rate_limiter;
use crate::openapi::responses::{TerminalErrors, TerminalParams};
use crate::server::connection::Connection;
use crate::state::Api;

/// Status of a device and its latest pairing code.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"device_status": "claimed", "is_claimed": true, "pairing_code_status": "used"}))]
pub(crate) struct StatusResponse {
    /// Status of the device: `inactive`, `claimed` or `activated`.
    #[schema(value_type = String, pattern = "^(inactive|claimed|activated)$")]
    device_status: &'static str,
    /// Whether a merchant has claimed the device.
    is_claimed: bool,
    /// Status of the latest pairing code: `none`, `pending`, `used` or `expired`.
    #[schema(value_type = String, pattern = "^(none|pending|used|expired)$")]
    pairing_code_status: &'static str,
}

/// Returns the status of the device
///
/// Poll every 3 to 5 seconds while the code is `pending`. Stop when `is_claimed` is true. Request a new code when it is
/// `expired`. With `Prefer: wait=25` (RFC 7240, long polling) the response to a poll of a pending code is held until the
/// status changes or the wait ends, so that the terminal sees a claim within milliseconds.
#[utoipa::path(
    get,
    path = "/pos/status",
    tag = "POS activation",
    params(
        TerminalParams,
        ("Prefer" = Option<String>, Header, description = "`wait=` and seconds: how long the response may be held \
            while nothing changes. The server may reduce it; `Preference-Applied` has the wait that was applied.",
            example = "wait=25")
    ),
    responses(
        (
            status = 200,
            description = "The status",
            body = StatusResponse,
            headers(("Retry-After" = u32, description = "Seconds until the next poll, while a change is \
                    possible: 3 to 5 while the code is pending, and increasing after it has expired."))
        ),
        TerminalErrors
    )
)]
pub(crate) async fn status(
    http: HttpRequest,
    terminal: Terminal,
    Prefer(wait): Prefer,
) -> Result<HttpResponse, ApiError> {
    let api = api(&http)?;
    let status = match wait {
        None => api.use_cases.pairing.check_status.execute(&terminal.0).await.map(|checked| (checked, false)),
        Some(wait) => wait_for_change(api, &http, &terminal, wait).await,
    };
    let (checked, held) = status.map_err(|error| match error {
        CheckStatusError::UnknownDevice => ApiError::unknown_device(&terminal.0.device_id),
        CheckStatusError::Storage(error) => error.into(),
    })?;
    let mut response = HttpResponse::Ok();
    match (wait, checked.next_poll) {
        // A held poll may be repeated immediately: a pause would delay the terminal's notice of a claim.
        (Some(wait), _) if held => {
            response.insert_header(("Preference-Applied", format!("wait={}", wait.as_secs())));
        }
        (_, Some(interval)) => {
            response.insert_header((RETRY_AFTER, HeaderValue::from(rate_limiter::poll_delay(interval, &*api.entropy))));
        }
        (_, None) => {}
    }
    Ok(response.json(StatusResponse {
        device_status: checked.device_status.as_str(),
        is_claimed: checked.device_status.is_claimed(),
        pairing_code_status: checked.pairing_code_status.as_str(),
    }))
}

/// Returns the status when it has changed or the wait has ended, and whether the response was held.
async fn wait_for_change(
    api: &Api,
    http: &HttpRequest,
    terminal: &Terminal,
    wait: Duration,
) -> Result<(CheckedStatus, bool), CheckStatusError> {
    let _gauge = api.metrics.count_held_status();
    // A shutdown ends the wait. So does the end of the caller's input: the caller has shut down its sending side or is
    // disconnected.
    let mut ended = pin!(async {
        match Connection::of(http) {
            Some(connection) => tokio::select! {
                () = api.drain.started() => {}
                () = connection.input_ended() => {}
            },
            None => api.drain.started().await,
        }
    });
    let mut held = false;
    let mut answer = api.use_cases.pairing.check_status.begin_wait(&terminal.0, wait).await?;
    loop {
        let mut waiting = match answer {
            StatusAnswer::Ready(status) => return Ok((status, held)),
            StatusAnswer::Waiting(waiting) => waiting,
        };
        held = true;
        // A held request gives back its permit. The number of held requests has its own limit.
        drop(http.extensions_mut().remove::<Permit>());
        let woken = tokio::select! {
            biased;
            () = &mut ended => {
                // A caller that ended the wait itself gets `Retry-After`.
                let has_ended = Connection::of(http).is_some_and(|connection| connection.has_ended());
                return Ok((waiting.status(), !has_ended));
            }
            woken = waiting.changed() => woken,
        };
        answer = api.use_cases.pairing.check_status.look_again(&terminal.0, waiting, woken).await;
    }
}
