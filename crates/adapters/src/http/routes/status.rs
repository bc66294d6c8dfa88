use std::pin::pin;
use std::time::Duration;

use actix_web::http::header::{HeaderValue, RETRY_AFTER};
use actix_web::{HttpMessage as _, HttpRequest, HttpResponse};
use pos_application::{CheckStatusError, CheckedStatus, StatusAnswer};
use serde::Serialize;
use utoipa::ToSchema;

use super::super::Api;
use super::super::api_error::ApiError;
use super::super::connection::Connection;
use super::super::described::{TerminalErrors, TerminalParams};
use super::super::extract::{Prefer, Terminal, api};
use super::super::pacing;
use super::super::room::Place;

/// How the device and its latest code stand.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"device_status": "claimed", "is_claimed": true, "pairing_code_status": "used"}))]
pub(crate) struct StatusResponse {
    /// `inactive`, `claimed` or `activated`.
    #[schema(value_type = String, pattern = "^(inactive|claimed|activated)$")]
    device_status: &'static str,
    /// True once a merchant has claimed the device.
    is_claimed: bool,
    /// `none`, `pending`, `used` or `expired`.
    #[schema(value_type = String, pattern = "^(none|pending|used|expired)$")]
    pairing_code_status: &'static str,
}

/// Polls whether the device was claimed
///
/// Poll every 3 to 5 seconds while the code is `pending`; stop once `is_claimed`; ask for a new code when it is
/// `expired`. Or send `Prefer: wait=25` (RFC 7240): while the code is pending the answer then comes when something
/// changes, or at the end of the wait, so that a claim is seen within milliseconds.
#[utoipa::path(
    get,
    path = "/pos/status",
    tag = "POS activation",
    params(
        TerminalParams,
        ("Prefer" = Option<String>, Header, description = "`wait=` and seconds: how long the answer may be held back \
            while nothing changes. The server may allow less, and says in `Preference-Applied` what it did.",
            example = "wait=25")
    ),
    responses(
        (
            status = 200,
            description = "How it stands",
            body = StatusResponse,
            headers(("Retry-After" = u32, description = "While there is something to wait for: in how many seconds to \
                    ask again. 3 to 5 while the code is pending, longer and longer after it has expired."))
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
    let told = match wait {
        None => api.check_status.execute(&terminal.0).await.map(|checked| (checked, false)),
        Some(patience) => after_a_change(api, &http, &terminal, patience).await,
    };
    let (checked, held) = told.map_err(|error| match error {
        CheckStatusError::UnknownDevice => ApiError::unknown_device(&terminal.0.device_id),
        CheckStatusError::Storage(error) => error.into(),
    })?;
    let mut answer = HttpResponse::Ok();
    match (wait, checked.next_poll) {
        // Who waited may ask again at once: a pause would be time in which a claim goes unseen.
        (Some(wait), _) if held => {
            answer.insert_header(("Preference-Applied", format!("wait={}", wait.as_secs())));
        }
        (_, Some(window)) => {
            answer.insert_header((RETRY_AFTER, HeaderValue::from(pacing::within(window, &*api.entropy))));
        }
        (_, None) => {}
    }
    Ok(answer.json(StatusResponse {
        device_status: checked.device_status.as_str(),
        is_claimed: checked.device_status.is_claimed(),
        pairing_code_status: checked.pairing_code_status.as_str(),
    }))
}

/// The status once it has changed, or when the wait is over; and whether it was held back at all.
async fn after_a_change(
    api: &Api,
    http: &HttpRequest,
    terminal: &Terminal,
    patience: Duration,
) -> Result<(CheckedStatus, bool), CheckStatusError> {
    let _waits = api.metrics.terminal_waits();
    // A server that stops keeps nobody waiting; and a caller that sends no more is answered, or is gone.
    let mut stops = pin!(async {
        match Connection::of(http) {
            Some(connection) => tokio::select! {
                () = api.drain.started() => {}
                () = connection.input_ended() => {}
            },
            None => api.drain.started().await,
        }
    });
    let mut held = false;
    let mut answer = api.check_status.begin_wait(&terminal.0, patience).await?;
    loop {
        let mut waiting = match answer {
            StatusAnswer::Ready(status) => return Ok((status, held)),
            StatusAnswer::Waiting(waiting) => waiting,
        };
        held = true;
        // Who only waits takes no place from those who call; how many may wait has a bound of its own.
        drop(http.extensions_mut().remove::<Place>());
        let woken = tokio::select! {
            biased;
            () = &mut stops => {
                // Who ended its own wait is told when to ask again.
                let has_ended = Connection::of(http).is_some_and(|connection| connection.has_ended());
                return Ok((waiting.status(), !has_ended));
            }
            woken = waiting.changed() => woken,
        };
        answer = api.check_status.look_again(&terminal.0, waiting, woken).await;
    }
}
