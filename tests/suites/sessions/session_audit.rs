//! Audit events of sessions: actor, client address, trace id and details.

use pos_application::test_support::RESELLER;
use pos_domain::audit::{AuditEvent, AuditKind};
use pos_tests::server::{Answer, MERCHANT, send};
use reqwest::Method;
use serde_json::{Value, json};

use super::fixture::{SECRET, SessionFixture, client_session, end, initiate, log_out, on_both_engines};

/// The session events in the audit trail.
async fn session_events(fixture: &SessionFixture) -> Vec<AuditEvent> {
    let sessions = [AuditKind::SessionStarted, AuditKind::SessionEnded, AuditKind::SessionsLoggedOut];
    let events = fixture.app.audit_events().await;
    events.into_iter().filter(|event| sessions.contains(&event.kind)).collect()
}

/// An event as `audit export` prints it, without its instant.
fn event_json(event: &AuditEvent) -> Value {
    json!({
        "kind": event.kind.as_str(),
        "actor": event.audit_context.actor.to_string(),
        "client_ip": event.audit_context.client_ip.map(|client_ip| client_ip.to_string()),
        "trace_id": event.audit_context.trace_id.map(|id| id.to_string()),
        "merchant_id": event.merchant_id.map(|id| id.to_string()),
        "subject": event.subject.as_ref().map(ToString::to_string),
        "detail": event.detail,
    })
}

fn expected_event(kind: &str, actor: &str, subject: Value, merchant: Value, detail: Value, answer: &Answer) -> Value {
    json!({
        "kind": kind, "actor": actor, "client_ip": "127.0.0.1", "trace_id": answer.header("x-trace-id").unwrap(),
        "merchant_id": merchant, "subject": subject, "detail": detail,
    })
}

async fn a_users_session_is_audited(fixture: SessionFixture) {
    let server = fixture.server();
    let tokens = fixture.log_in("ann").await;
    let of_non_member = fixture.log_in("stranger").await;
    assert_eq!(end(&server, &tokens.access).await.status, 200);
    assert_eq!(initiate(&server, &of_non_member.access).await.status, 403);
    assert_eq!(session_events(&fixture).await, [], "neither call started a session");

    let started = initiate(&server, &tokens.access).await;
    fixture.advance(1);
    let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let request = server.request(Method::POST, "/session/initiate").bearer_auth(&tokens.access);
    let renewed = send(request.header("traceparent", traceparent).json(&json!({"host": "merchant.viopay.io"}))).await;
    assert_eq!(renewed.header("x-trace-id"), Some("4bf92f3577b34da6a3ce929d0e0e4736"));
    fixture.advance(1);
    let ended = end(&server, &tokens.access).await;
    assert_eq!(end(&server, &tokens.access).await.status, 200, "repeated, and not audited");
    fixture.advance(1);
    assert_eq!(initiate(&server, &tokens.access).await.status, 401, "refused, and not audited");
    let tokens = fixture.refresh(&tokens).await;
    let started_again = initiate(&server, &tokens.access).await;
    fixture.advance(1);
    let logged_out = log_out(&server, &fixture.logout_token(&json!({"sid": tokens.session_id}))).await;
    assert_eq!(initiate(&server, &tokens.access).await.status, 401);

    let shop = format!("merchant:{MERCHANT}");
    let detail = json!({"party": shop, "role": "admin", "application": "merchant-portal", "channel": "web"});
    let by_ann = |kind, answer| {
        expected_event(kind, "user:ann", json!("user:ann"), json!(MERCHANT.to_string()), detail.clone(), answer)
    };
    let by_provider = expected_event(
        "sessions_logged_out",
        "identity_provider",
        json!("user:ann"),
        json!(MERCHANT.to_string()),
        json!({"sessions": "one", "party": shop}),
        &logged_out,
    );
    let expected = [
        by_ann("session_started", &started),
        by_ann("session_started", &renewed),
        by_ann("session_ended", &ended),
        by_ann("session_started", &started_again),
        by_provider,
    ];
    assert_eq!(session_events(&fixture).await.iter().map(event_json).collect::<Vec<_>>(), expected);
    let times: Vec<_> = session_events(&fixture)
        .await
        .iter()
        .map(|event| (event.at - pos_tests::server::START).whole_seconds())
        .collect();
    assert_eq!(times, [0, 1, 2, 3, 4]);
    server.stop().await;
}

async fn a_logout_is_audited_even_if_it_ends_no_session(fixture: SessionFixture) {
    let server = fixture.server();
    let bad = log_out(&server, "garbage").await;
    assert_eq!(bad.status, 400);
    let unknown = log_out(&server, &fixture.logout_token(&json!({"sid": "never-initiated"}))).await;
    fixture.advance(1);
    let all_sessions = log_out(&server, &fixture.logout_token(&json!({"sub": "ann"}))).await;
    let of = |subject, sessions: &str, answer| {
        let detail = json!({ "sessions": sessions });
        expected_event("sessions_logged_out", "identity_provider", subject, Value::Null, detail, answer)
    };
    let expected = [of(Value::Null, "one", &unknown), of(json!("user:ann"), "all", &all_sessions)];
    assert_eq!(session_events(&fixture).await.iter().map(event_json).collect::<Vec<_>>(), expected);
    server.stop().await;
}

async fn a_clients_session_is_audited(fixture: SessionFixture) {
    let server = fixture.server();
    for (id, secret) in [("till", "guess"), ("renamed", SECRET), ("nobody", SECRET)] {
        assert_eq!(client_session(&server, id, secret).await.status, 401, "{id}");
    }
    assert_eq!(session_events(&fixture).await, []);
    let till = client_session(&server, "till", SECRET).await;
    fixture.advance(1);
    let fleet = client_session(&server, "fleet", SECRET).await;
    let user = |answer: &Answer| format!("user:{}", answer.json()["user_id"].as_str().unwrap());
    let detail = |client: &str, party: String, role: &str| json!({"client_id": client, "party": party, "role": role, "application": "api", "channel": "api"});
    let (shop, reseller) = (format!("merchant:{MERCHANT}"), format!("reseller:{RESELLER}"));
    let of = |answer, merchant, detail| {
        let user = user(answer);
        expected_event("session_started", &user, json!(user), merchant, detail, answer)
    };
    let expected = [
        of(&till, json!(MERCHANT.to_string()), detail("till", shop, "operator")),
        of(&fleet, Value::Null, detail("fleet", reseller, "viewer")),
    ];
    assert_eq!(session_events(&fixture).await.iter().map(event_json).collect::<Vec<_>>(), expected);
    server.stop().await;
}

on_both_engines!(
    a_users_session_is_audited,
    a_logout_is_audited_even_if_it_ends_no_session,
    a_clients_session_is_audited,
);
