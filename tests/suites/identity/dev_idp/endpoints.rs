//! Endpoints of the development issuer: discovery, keys, logout, CORS.

use std::net::SocketAddr;
use std::sync::Arc;

use pos_adapters::clock::SystemEntropy;
use pos_dev_idp::{DevIdp, DevIdpError, MintSignature};
use serde_json::{Value, json};

use super::super::support::{clock, idp_settings};
use super::{IssuerFixture, claims, json};

#[tokio::test]
async fn it_listens_on_loopback_only() {
    for addr in ["0.0.0.0:0", "192.168.0.1:0", "[::]:0", "8.8.8.8:80"] {
        let addr: SocketAddr = addr.parse().expect("an address");
        let refused = DevIdp::start(idp_settings(), addr, clock(), Arc::new(SystemEntropy)).await;
        assert!(matches!(refused, Err(DevIdpError::NotLoopback(named)) if named == addr), "{addr}");
    }
}

#[tokio::test]
async fn the_discovery_document_matches_the_endpoints() {
    let fixture = IssuerFixture::new().await;
    let url = format!("{}/.well-known/openid-configuration", fixture.idp.issuer());
    let (status, document) = json(fixture.http.get(url).send().await.expect("answered")).await;
    assert_eq!((status, &document["issuer"]), (200, &json!(fixture.idp.issuer())));
    assert_eq!(fixture.idp.issuer(), format!("http://{}/realms/viopay", fixture.idp.addr()));
    let url_of = |name: &str| document[name].as_str().expect(name).to_owned();

    let (status, jwks) = json(fixture.http.get(url_of("jwks_uri")).send().await.expect("answered")).await;
    assert_eq!((status, &jwks), (200, &fixture.idp.jwks()));
    for (signature, alg) in
        [(MintSignature::Rs256, "RS256"), (MintSignature::Ps256, "PS256"), (MintSignature::Es256, "ES256")]
    {
        let key = keys(&jwks).iter().find(|key| key["kid"] == fixture.idp.kid(signature)).expect(alg);
        assert_eq!((&key["alg"], &key["use"]), (&json!(alg), &json!("sig")));
        assert!(key.get("d").is_none() && key.get("p").is_none(), "a private key is published");
    }
    let (status, refused) = json(fixture.http.post(url_of("token_endpoint")).send().await.expect("answered")).await;
    assert_eq!((status, &refused["error"]), (400, &json!("invalid_request")));
    let response = fixture.http.get(url_of("authorization_endpoint")).send().await.expect("answered");
    assert_eq!(response.status(), 400, "it exists and requires a client");
    assert_eq!(fixture.http.get(url_of("end_session_endpoint")).send().await.expect("answered").status(), 200);
    for grant in document["grant_types_supported"].as_array().expect("a list") {
        let form = [("grant_type", grant.as_str().expect("a text")), ("client_id", "portal")];
        assert_ne!(fixture.token(&form).await.1["error"], "unsupported_grant_type", "{grant}");
    }
}

fn keys(jwks: &Value) -> &Vec<Value> {
    jwks["keys"].as_array().expect("a list")
}

#[tokio::test]
async fn other_realms_do_not_exist() {
    let fixture = IssuerFixture::new().await;
    let issuer = fixture.idp.issuer().replace("/viopay", "/other");
    for path in ["/.well-known/openid-configuration", "/protocol/openid-connect/certs", ""] {
        let (status, _) = json(fixture.http.get(format!("{issuer}{path}")).send().await.expect("answered")).await;
        assert_eq!(status, 404, "{path}");
    }
}

#[tokio::test]
async fn keys_rotate_on_demand() {
    let fixture = IssuerFixture::new().await;
    let first = fixture.idp.kid(MintSignature::Rs256);
    let rotate = |query: &str| {
        let url = format!("{}/dev/rotate-keys{query}", fixture.idp.issuer());
        let request = fixture.http.post(url).send();
        async move { request.await.expect("answered").status().as_u16() }
    };
    let published = |kid: &str| keys(&fixture.idp.jwks()).iter().any(|key| key["kid"] == kid);

    assert_eq!(rotate("").await, 204);
    let second = fixture.idp.kid(MintSignature::Rs256);
    assert_ne!(first, second);
    assert!(published(&first) && published(&second));
    assert_eq!(rotate("?drop=true").await, 204);
    assert!(!published(&first) && !published(&second) && published(&fixture.idp.kid(MintSignature::Rs256)));
    assert_eq!(rotate("?drop=perhaps").await, 400);
}

#[tokio::test]
async fn a_client_logs_out_with_its_refresh_token() {
    let fixture = IssuerFixture::new().await;
    let answer = fixture.log_in("portal").await;
    let token = answer["refresh_token"].as_str().expect("a token");
    let log_out = |client_id| {
        let form = [("client_id", client_id), ("refresh_token", token)];
        let request = fixture.http.post(fixture.endpoint("logout")).form(&form).send();
        async move { request.await.expect("answered").status().as_u16() }
    };
    let refresh = [("grant_type", "refresh_token"), ("client_id", "portal"), ("refresh_token", token)];
    assert_eq!(log_out("other").await, 400);
    assert_eq!(fixture.token(&refresh).await.0, 200, "another client cannot end it");
    assert_eq!(log_out("portal").await, 204);
    assert_eq!(fixture.token(&refresh).await.0, 400);
}

#[tokio::test]
async fn a_browser_logout_redirects_to_registered_uris_only() {
    let fixture = IssuerFixture::new().await;
    let answer = fixture.log_in("portal").await;
    let id_token = answer["id_token"].as_str().expect("a token");
    let token = answer["refresh_token"].as_str().expect("a token");
    let refresh = [("grant_type", "refresh_token"), ("client_id", "portal"), ("refresh_token", token)];
    let log_out = |hint: &str, uri: &str| {
        let query = [("id_token_hint", hint), ("post_logout_redirect_uri", uri), ("state", "s")];
        let request = fixture.http.get(fixture.endpoint("logout")).query(&query).send();
        async move {
            let response = request.await.expect("answered");
            let location = response.headers().get("location").and_then(|to| to.to_str().ok()).map(str::to_owned);
            (response.status().as_u16(), location)
        }
    };
    let callback = "http://localhost:3000/callback?from=idp";
    let (signed, _) = id_token.rsplit_once('.').expect("three parts");
    assert_eq!(log_out(&format!("{signed}.AAAA"), callback).await, (400, None), "a forged hint is rejected");
    assert_eq!(claims(&answer["id_token"])["sid"], answer["session_state"]);
    assert_eq!(fixture.token(&refresh).await.0, 200);

    assert_eq!(log_out(id_token, "http://localhost:4000/callback").await, (400, None));
    let redirect = Some(format!("{callback}&state=s"));
    assert_eq!(log_out(id_token, callback).await, (302, redirect));
    assert_eq!(fixture.token(&refresh).await.0, 400);
}

#[tokio::test]
async fn cors_allows_registered_clients_only() {
    let fixture = IssuerFixture::new().await;
    for (origin, allowed) in [("http://localhost:3000", true), ("http://evil.example", false)] {
        let request = fixture.http.get(fixture.endpoint("certs")).header("Origin", origin);
        let response = request.send().await.expect("answered");
        let granted = response.headers().get("access-control-allow-origin").is_some_and(|granted| granted == origin);
        assert_eq!(granted, allowed, "{origin}");
    }
}

#[tokio::test]
async fn a_stopped_issuer_does_not_answer() {
    let IssuerFixture { idp, http, .. } = IssuerFixture::new().await;
    let url = idp.issuer().to_owned();
    idp.stop().await;
    assert!(http.get(url).send().await.is_err());
}
