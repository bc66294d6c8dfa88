//! The browser's part of a log-in: a page with a form, cookies, and the way back.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use pos_adapters::clock::SystemEntropy;
use pos_port_clock::Entropy as _;
use reqwest::header::{COOKIE, LOCATION, SET_COOKIE};
use reqwest::{Client, Response};
use sha2::{Digest, Sha256};
use url::Url;

use super::{CALLBACK, Issuer, ONE_LOG_IN_AT_A_TIME, PORTAL, Refusal, Tokens};

/// A log-in at the portal that is under way.
pub struct LogIn {
    http: Client,
    /// Where the form goes.
    action: String,
    cookies: String,
    state: String,
    verifier: String,
}

impl LogIn {
    /// Opens the log-in page, as the portal sends the browser there.
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

    /// Fills in the form; the code that the way back carries, or `None` when the form is shown again.
    ///
    /// # Panics
    /// When the way back is not the portal's, or answers another request.
    pub async fn submit(&self, name: &str, password: &str) -> Option<String> {
        let _alone = ONE_LOG_IN_AT_A_TIME.lock().await;
        let form = [("username", name), ("password", password)];
        let request = self.http.post(&self.action).header(COOKIE, &self.cookies).form(&form);
        let response = request.send().await.expect("the issuer answers");
        if response.status() == 200 {
            return None;
        }
        let way_back = way_back(&response);
        assert!(way_back.as_str().starts_with(CALLBACK), "{way_back}");
        assert_eq!(parameter(&way_back, "state").as_ref(), Some(&self.state));
        parameter(&way_back, "code")
    }

    /// Buys tokens with a code.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn redeem(&self, issuer: &Issuer, code: &str) -> Result<Tokens, Refusal> {
        self.redeem_with(issuer, code, &self.verifier).await
    }

    /// Buys tokens with a code that another asked for.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn redeem_as_thief(&self, issuer: &Issuer, code: &str) -> Result<Tokens, Refusal> {
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
        issuer.ask(PORTAL, &form).await
    }
}

impl Issuer {
    /// The `error` that a log-in at the portal without PKCE leads back with.
    ///
    /// # Panics
    /// When it leads elsewhere.
    pub async fn log_in_without_pkce(&self) -> Option<String> {
        let request = self.http.get(self.endpoint("auth")).query(&authorization(&[]));
        parameter(&way_back(&request.send().await.expect("the issuer answers")), "error")
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

/// Sent back whether or not they are marked `Secure`: browsers do that too where the host is their own machine.
fn cookies(response: &Response) -> String {
    let set = response.headers().get_all(SET_COOKIE).iter().filter_map(|cookie| cookie.to_str().ok());
    set.filter_map(|cookie| cookie.split(';').next()).collect::<Vec<_>>().join("; ")
}

/// Where the page's one form goes, if it says so.
fn form_action(page: &str) -> Option<String> {
    let form = page.split_once("<form")?.1.split_once('>')?.0;
    let action = form.split_once("action=\"")?.1.split_once('"')?.0;
    Some(action.replace("&amp;", "&"))
}

fn way_back(response: &Response) -> Url {
    assert_eq!(response.status(), 302, "{response:?}");
    let location = response.headers()[LOCATION].to_str().expect("text");
    Url::parse(location).expect("a URL")
}

fn parameter(url: &Url, name: &str) -> Option<String> {
    url.query_pairs().find(|(known, _)| known == name).map(|(_, value)| value.into_owned())
}
