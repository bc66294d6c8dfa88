//! Back-channel logout notices of the development issuer.

use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use actix_web::dev::ServerHandle;
use actix_web::http::StatusCode;
use actix_web::web::{self, Data, Form};
use actix_web::{App, HttpResponse, HttpServer};
use pos_adapters::identity::oidc::OidcSettings;
use pos_port_clock::Clock as _;
use pos_port_identity::{LogoutNotice, LogoutVerifier as _};
use serde_json::{Value, json};

use super::super::support::{ANY_PORT, AUDIENCE, USER, verifier_with};
use super::{IssuerFixture, claims};

/// The logout tokens that a client received, and the status it answers.
struct Notices {
    tokens: Mutex<Vec<String>>,
    answer: StatusCode,
}

struct Client {
    notices: Data<Notices>,
    url: String,
    handle: ServerHandle,
}

async fn back_channel(notices: Data<Notices>, form: Form<Vec<(String, String)>>) -> HttpResponse {
    for (name, value) in form.into_inner() {
        assert_eq!(name, "logout_token");
        notices.tokens.lock().unwrap().push(value);
    }
    HttpResponse::new(notices.answer)
}

impl Client {
    fn start(answer: StatusCode) -> Self {
        let listener = TcpListener::bind(ANY_PORT).unwrap();
        let url = format!("http://{}/logout", listener.local_addr().unwrap());
        let notices = Data::new(Notices { tokens: Mutex::default(), answer });
        let shared = notices.clone();
        let app = move || App::new().app_data(shared.clone()).route("/logout", web::post().to(back_channel));
        let server = HttpServer::new(app).workers(1).disable_signals().listen(listener).unwrap().run();
        let handle = server.handle();
        tokio::spawn(server);
        Self { notices, url, handle }
    }

    /// Takes the logout tokens received since the last call.
    fn take_tokens(&self) -> Vec<String> {
        std::mem::take(&mut *self.notices.tokens.lock().unwrap())
    }
}

impl IssuerFixture {
    async fn log_out(&self, client_id: &str, answer: &Value) -> u16 {
        let form = [("client_id", client_id), ("refresh_token", answer["refresh_token"].as_str().unwrap())];
        self.http.post(self.endpoint("logout")).form(&form).send().await.unwrap().status().as_u16()
    }
}

#[tokio::test]
async fn a_logout_notifies_the_client_of_the_session_before_the_response() {
    let (fixture, client) = (IssuerFixture::new().await, Client::start(StatusCode::OK));
    fixture.idp.set_backchannel_logout_uri("portal", Some(&client.url));
    let (one, other) = (fixture.log_in("portal").await, fixture.log_in("portal").await);
    let of_other_client = fixture.log_in("other").await;

    assert_eq!(fixture.log_out("other", &of_other_client).await, 204);
    assert_eq!(client.take_tokens(), [] as [String; 0], "the session is another client's");
    assert_eq!(fixture.log_out("portal", &one).await, 204);
    let tokens_received = client.take_tokens();
    let [token] = tokens_received.as_slice() else { panic!("{}", tokens_received.len()) };
    let now = fixture.clock.now().unix_timestamp();
    let logout_claims = claims(&json!(token));
    assert_eq!(
        (&logout_claims["aud"], &logout_claims["sub"], &logout_claims["sid"]),
        (&json!("portal"), &json!(USER), &one["session_state"])
    );
    assert_eq!(
        (&logout_claims["iss"], &logout_claims["iat"], &logout_claims["exp"]),
        (&json!(fixture.idp.issuer()), &json!(now), &json!(now + 120))
    );
    assert!(logout_claims["jti"].is_string() && logout_claims.get("nonce").is_none(), "{logout_claims}");
    assert_eq!(logout_claims["events"], json!({"http://schemas.openid.net/event/backchannel-logout": {}}));

    assert_eq!(fixture.log_out("portal", &one).await, 400, "the session has ended");
    assert_eq!(client.take_tokens(), [] as [String; 0], "the client is notified once");
    let query = [("id_token_hint", other["id_token"].as_str().unwrap())];
    let by_browser = fixture.http.get(fixture.endpoint("logout")).query(&query).send().await.unwrap();
    assert_eq!(by_browser.status(), 200);
    let tokens_received = client.take_tokens();
    assert_eq!(
        tokens_received.iter().map(|token| claims(&json!(token))["sid"].clone()).collect::<Vec<_>>(),
        [other["session_state"].clone()]
    );
    client.handle.stop(true).await;
}

#[tokio::test]
async fn the_verifier_accepts_the_logout_token() {
    let (fixture, client) = (IssuerFixture::new().await, Client::start(StatusCode::OK));
    fixture.idp.set_backchannel_logout_uri("portal", Some(&client.url));
    let tokens = fixture.log_in("portal").await;
    assert_eq!(fixture.log_out("portal", &tokens).await, 204);
    let tokens_received = client.take_tokens();
    let mut settings = OidcSettings::new(fixture.idp.issuer(), AUDIENCE);
    settings.logout_clients = vec!["portal".to_owned()];
    let LogoutNotice { session, user_id, issued_at } =
        verifier_with(settings, &Arc::clone(&fixture.clock)).verify_logout(&tokens_received[0]).await.unwrap();
    assert!(session.is_some());
    assert_eq!(user_id.map(|user| user.to_string()), Some(USER.to_owned()));
    assert_eq!(issued_at, fixture.clock.now());
    client.handle.stop(true).await;
}

#[tokio::test]
async fn a_logout_succeeds_even_if_the_client_fails() {
    let (fixture, client) = (IssuerFixture::new().await, Client::start(StatusCode::BAD_REQUEST));
    fixture.idp.set_backchannel_logout_uri("portal", Some(&client.url));
    for unreachable in [false, true] {
        let tokens = fixture.log_in("portal").await;
        if unreachable {
            client.handle.stop(true).await;
        }
        assert_eq!(fixture.log_out("portal", &tokens).await, 204);
        assert_eq!(client.take_tokens().len(), usize::from(!unreachable));
        let form = [
            ("grant_type", "refresh_token"),
            ("client_id", "portal"),
            ("refresh_token", tokens["refresh_token"].as_str().unwrap()),
        ];
        assert_eq!(fixture.token(&form).await.1["error"], "invalid_grant", "the session has ended anyway");
    }
    fixture.idp.set_backchannel_logout_uri("portal", None);
    let tokens = fixture.log_in("portal").await;
    assert_eq!(fixture.log_out("portal", &tokens).await, 204, "no client needs a notice");
}
