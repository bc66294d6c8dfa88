//! The few pages a person sees. Nothing a request says is ever put into one.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, ContentType};

const FRAME: &str = include_str!("page.html");

/// The log-in form. It goes back to the address it came from, with the request in its query.
///
/// `client_id` is one from the settings, whose alphabet needs no escaping.
pub(super) fn log_in(client_id: &str, failed: bool) -> HttpResponse {
    let notice = if failed { r#"<p class="bad" role="alert">Invalid username or password.</p>"# } else { "" };
    let form = format!(
        r#"<h1>Sign in</h1><p>to <b>{client_id}</b></p>{notice}
<form method="post">
<label>Username<input name="username" autocomplete="username" required autofocus></label>
<label>Password<input name="password" type="password" autocomplete="current-password" required></label>
<button>Sign in</button>
</form>"#
    );
    page(StatusCode::OK, &form)
}

/// A page with one sentence.
pub(super) fn message(status: StatusCode, sentence: &'static str) -> HttpResponse {
    page(status, &format!("<h1>{sentence}</h1>"))
}

fn page(status: StatusCode, body: &str) -> HttpResponse {
    HttpResponse::build(status)
        .content_type(ContentType::html())
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((
            CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
        ))
        .body(FRAME.replace("{{body}}", body))
}
