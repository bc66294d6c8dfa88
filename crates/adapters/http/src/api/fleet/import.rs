//! `POST /reseller/devices/import`: import of devices from a file.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_web::error::PayloadError;
use actix_web::http::header::HeaderMap;
use actix_web::web::{Bytes, Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use futures_util::{Stream, stream};
use pos_application::fleet::{
    ImportError, ImportFiles, ImportFormat, ImportOrder, ImportReport, ReceiveError, Receiver,
};
use pos_domain::fleet::ImportMode;
use pos_port_storage::fleet::RowResult;
use pos_port_storage::shared::StorageError;
use serde::Deserialize;
use tokio::time::timeout;
use utoipa::IntoParams;

use crate::api::shared::IdempotencyParams;
use crate::errors::api_error::ApiError;
use crate::errors::back_office::ImportErrors;
use crate::errors::table::{
    BODY_TOO_LARGE, KEY_REUSED, NOT_AN_IMPORT_FILE, ROLE_TOO_LOW, TOO_MANY_REFUSED_ROWS, UPLOAD_STALLED,
};
use crate::extract::{ResellerAuth, content_type, idempotency_key, invalid_body, invalid_query, query, without_coding};
use crate::limits::admission::Admission;
use crate::server::connection::Connection;
use crate::state::Api;

const NDJSON: &str = "application/x-ndjson";

/// Options of an import.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ImportQuery {
    /// Effect of a rejected row on the others: `all_or_nothing` (the default) or `best_effort`.
    #[param(value_type = Option<String>, pattern = "^(all_or_nothing|best_effort)$")]
    mode: Option<String>,
}

/// Imports devices of any of the reseller's merchants
///
/// The body is a file of rows: `device_id` (assigned by the factory), `merchant_id`, and optionally `label` and
/// `location_id`. A CSV file (RFC 4180, UTF-8) starts with a header line that names the columns, in any order. A JSON
/// Lines file has one object per line: `{"device_id": "POS-8F3A2C91", "merchant_id": "0b8f4d2e-…"}`. A row has at most
/// 4096 bytes. A line break ends a row, even inside quotes. A line whose fields are all blank is ignored.
///
/// The response starts when the import has ended: one JSON object per line for each row, numbered from 1 in file order,
/// and a last line with the totals. A response without that line was interrupted. Send an `Idempotency-Key`: the same
/// request with the same key and the same file resumes an interrupted import, creates no device twice and returns the
/// same response.
///
/// Reasons for which a row is refused: `malformed`, `invalid_device_id`, `invalid_merchant_id`, `invalid_label`,
/// `invalid_location_id`, `unknown_merchant`, `unknown_location`, `duplicate` (an earlier row of the file has the id),
/// `taken`, and `not_imported` (another row was refused, with `all_or_nothing`).
#[utoipa::path(
    post,
    path = "/reseller/devices/import",
    tag = "Reseller",
    security(("bearer" = [])),
    params(ImportQuery, IdempotencyParams),
    request_body(
        description = "The import file",
        content(
            (String = "text/csv", example = "device_id,merchant_id,label\nPOS-8F3A2C91,0b8f4d2e-7c1a-4e55-9d0f-2a6b1c3d4e5f,Bar\n"),
            (String = "application/x-ndjson"),
            (String = "application/jsonl"),
        )
    ),
    responses(
        (status = 200, description = "The result of each row, and the totals", content_type = "application/x-ndjson",
            body = String,
            example = "{\"row\":1,\"device_id\":\"POS-8F3A2C91\",\"result\":\"provisioned\"}\n{\"row\":2,\"device_id\":\"POS-8F3A2C91\",\"result\":\"refused\",\"reason\":\"duplicate\",\"message\":\"row 1 has this device_id already\"}\n{\"rows\":2,\"provisioned\":1,\"refused\":1}\n"),
        ImportErrors
    )
)]
pub(crate) async fn import_devices(
    api: Data<Api>,
    http: HttpRequest,
    ResellerAuth(authorization): ResellerAuth,
    mut body: Payload,
) -> Result<HttpResponse, ApiError> {
    let mode = mode(&http)?;
    let format = format(http.headers())?;
    let order = ImportOrder { authorization: authorization.clone(), mode, key: idempotency_key(&http)? };
    let admission = Admission::of(&http).ok_or_else(|| ApiError::internal("the upload request has no admission"))?;
    admission.begin_upload().await?;
    let import = &api.use_cases.fleet.import;
    let receiver = import.receive(order, format).await.map_err(to_api_error)?;
    let connection = Connection::of(&http).map(Rc::as_ref);
    let next = async || admission.receiving(Connection::next_chunk(connection, &mut body)).await;
    let uploaded = receive(receiver, next, api.limits.import_stall_timeout).await?;
    let received = uploaded.finish().await.map_err(receive_error)?;
    let completed = import.apply(&authorization, &received, &|_| {}).await.map_err(to_api_error)?;
    let mut report = import.report(&completed);
    let first = report.next_page().await?;
    let mut response = HttpResponse::Ok();
    if received.replayed {
        response.insert_header(("Idempotency-Replayed", "true"));
    }
    Ok(response.content_type(NDJSON).streaming(stream_report(import.files(), report, first)))
}

fn mode(http: &HttpRequest) -> Result<ImportMode, ApiError> {
    let ImportQuery { mode } = query(http)?;
    let parse = |mode: String| mode.parse().map_err(|why| invalid_query(&format!("mode {why}")));
    mode.map_or(Ok(ImportMode::default()), parse)
}

/// Returns the format declared by `Content-Type`. Content codings are rejected.
fn format(headers: &HeaderMap) -> Result<ImportFormat, ApiError> {
    let rejected = || ApiError::from(NOT_AN_IMPORT_FILE);
    let declared = content_type(headers)?.ok_or_else(rejected)?;
    let mut parts = declared.split(';').map(str::trim);
    let format = parts.next().and_then(ImportFormat::of_media_type).ok_or_else(rejected)?;
    let utf8 = |part: &str| match part.split_once('=') {
        Some((name, charset)) if name.trim().eq_ignore_ascii_case("charset") => {
            charset.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
        }
        _ => true,
    };
    if !parts.all(utf8) {
        return Err(rejected());
    }
    without_coding(headers)?;
    Ok(format)
}

/// Upload guard. If it is dropped before the end of the file, because the request was rejected or the caller disconnected,
/// a background task deletes the staged rows.
struct UploadGuard(Option<Receiver>);

impl Drop for UploadGuard {
    fn drop(&mut self) {
        if let Some(receiver) = self.0.take() {
            actix_web::rt::spawn(receiver.discard());
        }
    }
}

/// Receives the body. Rejects the request if the time between two chunks exceeds `stall_timeout`; the request middleware
/// bounds the total time.
async fn receive(
    receiver: Receiver,
    mut next: impl AsyncFnMut() -> Option<Result<Bytes, PayloadError>>,
    stall_timeout: Duration,
) -> Result<Receiver, ApiError> {
    let mut upload = UploadGuard(Some(receiver));
    while let Some(receiver) = &mut upload.0 {
        let chunk = timeout(stall_timeout, next()).await;
        match chunk.map_err(|_| ApiError::from(UPLOAD_STALLED))? {
            Some(Ok(bytes)) => receiver.feed(&bytes).await.map_err(receive_error)?,
            Some(Err(error)) => return Err(invalid_body(&error.to_string())),
            None => break,
        }
    }
    upload.0.take().ok_or_else(|| invalid_body("the body has already ended"))
}

fn receive_error(error: ReceiveError) -> ApiError {
    match error {
        ReceiveError::File(fault) => invalid_body(&fault.to_string()),
        ReceiveError::TooManyBytes(_) => BODY_TOO_LARGE.because(&error.to_string()),
        ReceiveError::Import(error) => to_api_error(error),
    }
}

fn to_api_error(error: ImportError) -> ApiError {
    match error {
        ImportError::Forbidden => ROLE_TOO_LOW.into(),
        ImportError::KeyReused => KEY_REUSED.into(),
        ImportError::TooManyRows(_) => BODY_TOO_LARGE.because(&error.to_string()),
        ImportError::TooManyRefused { retry_after } => {
            ApiError::from(TOO_MANY_REFUSED_ROWS).retry_after(retry_after.unsigned_abs())
        }
        ImportError::Storage(error) => error.into(),
    }
}

/// Streams the report page by page. If a page cannot be read, the response ends without its last line.
fn stream_report(
    files: Arc<dyn ImportFiles>,
    report: ImportReport,
    first: Vec<RowResult>,
) -> impl Stream<Item = Result<Bytes, StorageError>> {
    stream::try_unfold(Some((files, report, first)), |state| async move {
        let Some((files, mut report, page)) = state else { return Ok(None) };
        if page.is_empty() {
            return Ok(Some(((files.totals_line(report.totals()) + "\n").into(), None)));
        }
        let text: String = page.iter().map(|row| files.row_line(row) + "\n").collect();
        let next = report.next_page().await.inspect_err(|error| {
            tracing::error!(
                error = error as &dyn std::error::Error,
                "failed to read the import report; the response was cut short"
            );
        })?;
        Ok(Some((text.into(), Some((files, report, next)))))
    })
}
