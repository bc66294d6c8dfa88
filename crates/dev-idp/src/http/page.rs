//! HTML pages of the log-in. They never contain text from a request.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, ContentType};

const LAYOUT: &str = include_str!("page.html");

/// The log-in form. It is posted to the URL that served it, whose query is the authorization request.
///
/// `client_id` comes from the settings, which allow no characters that need escaping.
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

/// A page with one message.
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
        .body(LAYOUT.replace("{{body}}", body))
}
