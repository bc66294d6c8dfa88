//! Who is told that somebody logged out, and what.

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
use super::{World, claims};

/// What a client of the issuer's was told, and how it answers.
struct Told {
    tokens: Mutex<Vec<String>>,
    answer: StatusCode,
}

struct Client {
    told: Data<Told>,
    url: String,
    handle: ServerHandle,
}

async fn back_channel(told: Data<Told>, form: Form<Vec<(String, String)>>) -> HttpResponse {
    for (name, value) in form.into_inner() {
        assert_eq!(name, "logout_token");
        told.tokens.lock().unwrap().push(value);
    }
    HttpResponse::new(told.answer)
}

impl Client {
    fn start(answer: StatusCode) -> Self {
        let listener = TcpListener::bind(ANY_PORT).unwrap();
        let url = format!("http://{}/told", listener.local_addr().unwrap());
        let told = Data::new(Told { tokens: Mutex::default(), answer });
        let shared = told.clone();
        let app = move || App::new().app_data(shared.clone()).route("/told", web::post().to(back_channel));
        let server = HttpServer::new(app).workers(1).disable_signals().listen(listener).unwrap().run();
        let handle = server.handle();
        tokio::spawn(server);
        Self { told, url, handle }
    }

    /// The logout tokens since the last look.
    fn told(&self) -> Vec<String> {
        std::mem::take(&mut *self.told.tokens.lock().unwrap())
    }
}

impl World {
    async fn log_out(&self, client_id: &str, answer: &Value) -> u16 {
        let form = [("client_id", client_id), ("refresh_token", answer["refresh_token"].as_str().unwrap())];
        self.http.post(self.endpoint("logout")).form(&form).send().await.unwrap().status().as_u16()
    }
}

#[tokio::test]
async fn a_log_out_is_told_to_the_sessions_client_before_it_is_answered() {
    let (world, client) = (World::new().await, Client::start(StatusCode::OK));
    world.idp.set_backchannel_logout_uri("portal", Some(&client.url));
    let (one, other) = (world.log_in("portal").await, world.log_in("portal").await);
    let of_another_client = world.log_in("other").await;

    assert_eq!(world.log_out("other", &of_another_client).await, 204);
    assert_eq!(client.told(), [] as [String; 0], "it is not this client's");
    assert_eq!(world.log_out("portal", &one).await, 204);
    let told = client.told();
    let [token] = told.as_slice() else { panic!("{}", told.len()) };
    let now = world.clock.now().unix_timestamp();
    let said = claims(&json!(token));
    assert_eq!((&said["aud"], &said["sub"], &said["sid"]), (&json!("portal"), &json!(USER), &one["session_state"]));
    assert_eq!(
        (&said["iss"], &said["iat"], &said["exp"]),
        (&json!(world.idp.issuer()), &json!(now), &json!(now + 120))
    );
    assert!(said["jti"].is_string() && said.get("nonce").is_none(), "{said}");
    assert_eq!(said["events"], json!({"http://schemas.openid.net/event/backchannel-logout": {}}));

    assert_eq!(world.log_out("portal", &one).await, 400, "it is over");
    assert_eq!(client.told(), [] as [String; 0], "and told once");
    let query = [("id_token_hint", other["id_token"].as_str().unwrap())];
    let by_browser = world.http.get(world.endpoint("logout")).query(&query).send().await.unwrap();
    assert_eq!(by_browser.status(), 200);
    let told = client.told();
    assert_eq!(
        told.iter().map(|token| claims(&json!(token))["sid"].clone()).collect::<Vec<_>>(),
        [other["session_state"].clone()]
    );
    client.handle.stop(true).await;
}

#[tokio::test]
async fn our_verifier_takes_what_is_told() {
    let (world, client) = (World::new().await, Client::start(StatusCode::OK));
    world.idp.set_backchannel_logout_uri("portal", Some(&client.url));
    let tokens = world.log_in("portal").await;
    assert_eq!(world.log_out("portal", &tokens).await, 204);
    let told = client.told();
    let mut settings = OidcSettings::new(world.idp.issuer(), AUDIENCE);
    settings.logout_clients = vec!["portal".to_owned()];
    let LogoutNotice { session, user_id, issued_at } =
        verifier_with(settings, &Arc::clone(&world.clock)).verify_logout(&told[0]).await.unwrap();
    assert!(session.is_some());
    assert_eq!(user_id.map(|user| user.to_string()), Some(USER.to_owned()));
    assert_eq!(issued_at, world.clock.now());
    client.handle.stop(true).await;
}

#[tokio::test]
async fn a_client_that_refuses_or_is_away_keeps_nobody_logged_in() {
    let (world, client) = (World::new().await, Client::start(StatusCode::BAD_REQUEST));
    world.idp.set_backchannel_logout_uri("portal", Some(&client.url));
    for away in [false, true] {
        let tokens = world.log_in("portal").await;
        if away {
            client.handle.stop(true).await;
        }
        assert_eq!(world.log_out("portal", &tokens).await, 204);
        assert_eq!(client.told().len(), usize::from(!away));
        let form = [
            ("grant_type", "refresh_token"),
            ("client_id", "portal"),
            ("refresh_token", tokens["refresh_token"].as_str().unwrap()),
        ];
        assert_eq!(world.token(&form).await.1["error"], "invalid_grant", "the session is over all the same");
    }
    world.idp.set_backchannel_logout_uri("portal", None);
    let tokens = world.log_in("portal").await;
    assert_eq!(world.log_out("portal", &tokens).await, 204, "and nobody needs to be told");
}
