//! Browser side of a log-in: the form, the cookies and the redirect.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use pos_adapters::clock::SystemEntropy;
use pos_port_clock::Entropy as _;
use reqwest::header::{COOKIE, LOCATION, SET_COOKIE};
use reqwest::{Client, Response};
use sha2::{Digest, Sha256};
use url::Url;

use super::{CALLBACK, Issuer, LOGIN_LOCK, PORTAL, Refusal, Tokens};

/// A log-in at the portal that is under way.
pub struct LogIn {
    http: Client,
    /// The URL that the form is submitted to.
    action: String,
    cookies: String,
    state: String,
    verifier: String,
}

impl LogIn {
    /// Opens the log-in page with an authorization request of the portal.
    pub(super) async fn begin(http: &Client, issuer: &str) -> Self {
        let (verifier, state) = (random(), random());
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(&verifier));
        let query = authorization(&[("state", &state), ("code_challenge", &challenge), S256]);
        let request = http.get(format!("{issuer}/protocol/openid-connect/auth")).query(&query);
        let response = request.send().await.expect("the issuer answers");
        assert_eq!(response.status(), 200, "{response:?}");
        let cookies = cookies(&response);
        let address = response.url().to_string();
        let page = response.text().await.expect("a page");
        Self { http: http.clone(), action: form_action(&page).unwrap_or(address), cookies, state, verifier }
    }

    /// Submits the form and returns the authorization code, or `None` if the form is shown again.
    ///
    /// # Panics
    /// If the redirect does not go to the portal, or belongs to another request.
    pub async fn submit(&self, name: &str, password: &str) -> Option<String> {
        let _guard = LOGIN_LOCK.lock().await;
        let form = [("username", name), ("password", password)];
        let request = self.http.post(&self.action).header(COOKIE, &self.cookies).form(&form);
        let response = request.send().await.expect("the issuer answers");
        if response.status() == 200 {
            return None;
        }
        let redirect = redirect_target(&response);
        assert!(redirect.as_str().starts_with(CALLBACK), "{redirect}");
        assert_eq!(parameter(&redirect, "state").as_ref(), Some(&self.state));
        parameter(&redirect, "code")
    }

    /// Exchanges a code for tokens.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn redeem(&self, issuer: &Issuer, code: &str) -> Result<Tokens, Refusal> {
        self.redeem_with(issuer, code, &self.verifier).await
    }

    /// Exchanges a code for tokens with a PKCE verifier that does not match, as a thief would.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn redeem_with_wrong_verifier(&self, issuer: &Issuer, code: &str) -> Result<Tokens, Refusal> {
        self.redeem_with(issuer, code, &random()).await
    }

    async fn redeem_with(&self, issuer: &Issuer, code: &str, verifier: &str) -> Result<Tokens, Refusal> {
        let form = [
            ("grant_type", "authorization_code"),
            ("client_id", PORTAL),
            ("code", code),
            ("redirect_uri", CALLBACK),
            ("code_verifier", verifier),
        ];
        issuer.request_tokens(PORTAL, &form).await
    }
}

impl Issuer {
    /// The `error` that an authorization request without PKCE is redirected with.
    ///
    /// # Panics
    /// If the response is not a redirect.
    pub async fn log_in_without_pkce(&self) -> Option<String> {
        let request = self.http.get(self.endpoint("auth")).query(&authorization(&[]));
        parameter(&redirect_target(&request.send().await.expect("the issuer answers")), "error")
    }
}

const S256: (&str, &str) = ("code_challenge_method", "S256");

fn authorization<'p>(more: &[(&'p str, &'p str)]) -> Vec<(&'p str, &'p str)> {
    let always = [("client_id", PORTAL), ("redirect_uri", CALLBACK), ("response_type", "code"), ("scope", "openid")];
    always.into_iter().chain(more.iter().copied()).collect()
}

fn random() -> String {
    let mut bytes = [0; 32];
    SystemEntropy.fill(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// All cookies, also those marked `Secure`: browsers send these over plain HTTP to localhost, too.
fn cookies(response: &Response) -> String {
    let set = response.headers().get_all(SET_COOKIE).iter().filter_map(|cookie| cookie.to_str().ok());
    set.filter_map(|cookie| cookie.split(';').next()).collect::<Vec<_>>().join("; ")
}

/// The `action` of the page's only form, if it has one.
fn form_action(page: &str) -> Option<String> {
    let form = page.split_once("<form")?.1.split_once('>')?.0;
    let action = form.split_once("action=\"")?.1.split_once('"')?.0;
    Some(action.replace("&amp;", "&"))
}

fn redirect_target(response: &Response) -> Url {
    assert_eq!(response.status(), 302, "{response:?}");
    let location = response.headers()[LOCATION].to_str().expect("text");
    Url::parse(location).expect("a URL")
}

fn parameter(url: &Url, name: &str) -> Option<String> {
    url.query_pairs().find(|(known, _)| known == name).map(|(_, value)| value.into_owned())
}
