use std::rc::Rc;
use std::time::Duration;

use actix_web::error::PayloadError;
use actix_web::http::header::HeaderMap;
use actix_web::web::{Bytes, Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use futures_util::{Stream, stream};
use pos_application::{ImportError, ImportOrder, ImportReport};
use pos_domain::ImportMode;
use pos_port_storage::{RowResult, StorageError};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::timeout;
use utoipa::IntoParams;

use super::super::Api;
use super::super::admission::Admission;
use super::super::api_error::{ApiError, Failure};
use super::super::connection::Connection;
use super::super::extract::{
    OfReseller, content_type, idempotency_key, invalid_query, query, unsupported, without_coding,
};
use super::super::fleet_failures::ImportErrors;
use super::fleet::IdempotencyParams;
use crate::import::{ImportFormat, ReceiveError, Receiver, row_line, totals_line};

const LINES: &str = "application/x-ndjson";

/// How a file is to be imported.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ImportQuery {
    /// What one refused row means for the others: `all_or_nothing`, which it is when it is left out, or `best_effort`.
    #[param(value_type = Option<String>, pattern = "^(all_or_nothing|best_effort)$")]
    mode: Option<String>,
}

/// Makes many devices known at once, for any of the reseller's merchants
///
/// A file of rows, streamed: `device_id` (the name the terminal left the factory with), `merchant_id`, and, if you like,
/// `label` and `location_id`. As CSV (RFC 4180, UTF-8) it begins with a line that names the columns, in any order; as
/// JSON lines it has an object a line: `{"device_id": "POS-8F3A2C91", "merchant_id": "0b8f4d2e-…"}`. A row has at most
/// 4096 bytes. A line break ends a row inside quotes too. A line whose fields are all blank is an empty line.
///
/// The answer begins once the import has ended: a line of JSON for each row, numbered from 1 in the order of the file,
/// and a last line with the totals. An answer without that line was cut short. Send an `Idempotency-Key`: the same call
/// with the same key and the same file goes on where an earlier one was cut short, creates nothing twice, and is
/// answered the same.
///
/// Why a row is refused: `malformed`, `invalid_device_id`, `invalid_merchant_id`, `invalid_label`,
/// `invalid_location_id`, `unknown_merchant`, `unknown_location`, `duplicate` (an earlier row of the file has the id),
/// `taken`, and `not_imported` for the others when it is all or nothing.
#[utoipa::path(
    post,
    path = "/reseller/devices/import",
    tag = "Reseller",
    security(("bearer" = [])),
    params(ImportQuery, IdempotencyParams),
    request_body(
        description = "The file",
        content(
            (String = "text/csv", example = "device_id,merchant_id,label\nPOS-8F3A2C91,0b8f4d2e-7c1a-4e55-9d0f-2a6b1c3d4e5f,Bar\n"),
            (String = "application/x-ndjson"),
            (String = "application/jsonl"),
        )
    ),
    responses(
        (status = 200, description = "What became of each row, and the totals", content_type = "application/x-ndjson",
            body = String,
            example = "{\"row\":1,\"device_id\":\"POS-8F3A2C91\",\"result\":\"provisioned\"}\n{\"row\":2,\"device_id\":\"POS-8F3A2C91\",\"result\":\"refused\",\"reason\":\"duplicate\",\"message\":\"row 1 has this device_id already\"}\n{\"rows\":2,\"provisioned\":1,\"refused\":1}\n"),
        ImportErrors
    )
)]
pub(crate) async fn import_devices(
    api: Data<Api>,
    http: HttpRequest,
    OfReseller(mandate): OfReseller,
    mut body: Payload,
) -> Result<HttpResponse, ApiError> {
    let mode = mode(&http)?;
    let format = format(http.headers())?;
    let order = ImportOrder { mandate: mandate.clone(), mode, key: idempotency_key(&http)? };
    let admission = Admission::of(&http).ok_or_else(|| ApiError::internal("an upload without admission"))?;
    admission.begin_upload().await?;
    let upload = api.import.begin(order).await.map_err(told)?;
    let receiver = Receiver::new(format, api.import.max_rows(), upload);
    let connection = Connection::of(&http).map(Rc::as_ref);
    let next = async || admission.receiving(Connection::next_piece(connection, &mut body)).await;
    let arrived = receive(receiver, next, api.limits.import_stall_timeout).await?;
    let received = arrived.finish().await.map_err(refused)?;
    let ended = api.import.apply(&mandate, &received, &|_| {}).await.map_err(told)?;
    let mut report = api.import.report(&ended);
    let first = report.next_page().await?;
    let mut response = HttpResponse::Ok();
    if received.replayed {
        response.insert_header(("Idempotency-Replayed", "true"));
    }
    Ok(response.content_type(LINES).streaming(lines(report, first)))
}

fn mode(http: &HttpRequest) -> Result<ImportMode, ApiError> {
    let ImportQuery { mode } = query(http)?;
    let read = |word: String| word.parse().map_err(|why| invalid_query(&format!("mode {why}")));
    mode.map_or(Ok(ImportMode::default()), read)
}

/// The format that the body is declared in, without a content coding.
fn format(headers: &HeaderMap) -> Result<ImportFormat, ApiError> {
    let refused = || unsupported("Content-Type must be text/csv, application/x-ndjson or application/jsonl");
    let declared = content_type(headers)?.ok_or_else(refused)?;
    let mut parts = declared.split(';').map(str::trim);
    let format = parts.next().and_then(ImportFormat::of_media_type).ok_or_else(refused)?;
    let utf8 = |part: &str| match part.split_once('=') {
        Some((name, charset)) if name.trim().eq_ignore_ascii_case("charset") => {
            charset.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
        }
        _ => true,
    };
    if !parts.all(utf8) {
        return Err(refused());
    }
    without_coding(headers)?;
    Ok(format)
}

/// A file on its way in. Dropped before its end, by a caller that is refused or goes away, it removes what was staged,
/// beside whatever comes next.
struct Arriving(Option<Receiver>);

impl Drop for Arriving {
    fn drop(&mut self) {
        if let Some(receiver) = self.0.take() {
            actix_web::rt::spawn(receiver.discard());
        }
    }
}

/// Receives the body. The request middleware bounds how long it may take in all; here a caller that stalls is let go.
async fn receive(
    receiver: Receiver,
    mut next: impl AsyncFnMut() -> Option<Result<Bytes, PayloadError>>,
    patience: Duration,
) -> Result<Receiver, ApiError> {
    let mut arriving = Arriving(Some(receiver));
    while let Some(receiver) = &mut arriving.0 {
        let piece =
            timeout(patience, next()).await.map_err(|_| ApiError::invalid("Request body did not arrive in time"))?;
        match piece {
            Some(Ok(bytes)) => receiver.feed(&bytes).await.map_err(refused)?,
            Some(Err(error)) => return Err(invalid_body(error.to_string())),
            None => break,
        }
    }
    arriving.0.take().ok_or_else(|| invalid_body("it has ended already".to_owned()))
}

fn invalid_body(why: String) -> ApiError {
    ApiError::invalid("Invalid request body").details(json!({ "message": why }))
}

fn too_large(why: String) -> ApiError {
    ApiError::new(Failure::TooLarge, "Request body is too large").details(json!({ "message": why }))
}

fn refused(error: ReceiveError) -> ApiError {
    match error {
        ReceiveError::File(fault) => invalid_body(fault.to_string()),
        ReceiveError::TooManyBytes(_) => too_large(error.to_string()),
        ReceiveError::Import(error) => told(error),
    }
}

fn told(error: ImportError) -> ApiError {
    match error {
        ImportError::Forbidden => ApiError::new(Failure::Forbidden, error.to_string()),
        ImportError::KeyReused => ApiError::new(Failure::StateForbids, error.to_string()),
        ImportError::TooManyRows(_) => too_large(error.to_string()),
        ImportError::TooManyRefused { retry_after } => {
            ApiError::new(Failure::TooManyAttempts, error.to_string()).retry_after(retry_after.unsigned_abs())
        }
        ImportError::Storage(error) => error.into(),
    }
}

/// The report, a page a piece. One that cannot be read on ends without its last line.
fn lines(report: ImportReport, first: Vec<RowResult>) -> impl Stream<Item = Result<Bytes, StorageError>> {
    stream::try_unfold(Some((report, first)), |state| async move {
        let Some((mut report, page)) = state else { return Ok(None) };
        if page.is_empty() {
            return Ok(Some((line(&totals_line(report.totals())).into(), None)));
        }
        let text: String = page.iter().map(|row| line(&row_line(row))).collect();
        let next = report.next_page().await.inspect_err(|error| {
            tracing::error!(error = error as &dyn std::error::Error, "the report of an import was cut short");
        })?;
        Ok(Some((text.into(), Some((report, next)))))
    })
}

fn line(value: &impl Serialize) -> String {
    // Texts and numbers cannot fail to be written.
    serde_json::to_string(value).map(|text| text + "\n").unwrap_or_default()
}
