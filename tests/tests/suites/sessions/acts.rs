//! Sessions on record: who started, ended or logged out which, from where, and by which call.

use pos_domain::{AuditEvent, AuditKind};
use pos_port_storage::Span;
use pos_tests::server::{Answer, MERCHANT, send};
use reqwest::Method;
use serde_json::{Value, json};

use super::world::{RESELLER, SECRET, World, client_session, end, initiate, log_out, on_both_engines};

/// What came on record since the world was made.
async fn told(world: &World) -> Vec<AuditEvent> {
    let sessions = [AuditKind::SessionStarted, AuditKind::SessionEnded, AuditKind::SessionsLoggedOut];
    let all = Span { limit: 1_000, ..Span::default() };
    let kept = world.storage.events.audit_by_time(&all, None).await.unwrap();
    kept.into_iter().map(|kept| kept.event).filter(|event| sessions.contains(&event.kind)).collect()
}

/// An event as `audit export` tells it, without its instant.
fn shown(event: &AuditEvent) -> Value {
    json!({
        "kind": event.kind.as_str(),
        "actor": event.act.actor.to_string(),
        "origin": event.act.origin.map(|origin| origin.to_string()),
        "trace_id": event.act.trace_id.map(|id| id.to_string()),
        "merchant_id": event.merchant_id.map(|id| id.to_string()),
        "subject": event.subject.as_ref().map(ToString::to_string),
        "detail": event.detail,
    })
}

fn expected(kind: &str, actor: &str, subject: Value, merchant: Value, detail: Value, answer: &Answer) -> Value {
    json!({
        "kind": kind, "actor": actor, "origin": "127.0.0.1", "trace_id": answer.header("x-trace-id").unwrap(),
        "merchant_id": merchant, "subject": subject, "detail": detail,
    })
}

async fn a_users_session_is_on_record(world: World) {
    let server = world.server();
    let tokens = world.log_in("ann").await;
    let strangers = world.log_in("stranger").await;
    assert_eq!(end(&server, &tokens.access).await.status, 200);
    assert_eq!(initiate(&server, &strangers.access).await.status, 403);
    assert_eq!(told(&world).await, [], "neither began anything");

    let started = initiate(&server, &tokens.access).await;
    world.advance(1);
    let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let request = server.request(Method::POST, "/session/initiate").bearer_auth(&tokens.access);
    let renewed = send(request.header("traceparent", traceparent).json(&json!({"host": "merchant.viopay.io"}))).await;
    assert_eq!(renewed.header("x-trace-id"), Some("4bf92f3577b34da6a3ce929d0e0e4736"));
    world.advance(1);
    let ended = end(&server, &tokens.access).await;
    assert_eq!(end(&server, &tokens.access).await.status, 200, "again, and not on record");
    world.advance(1);
    assert_eq!(initiate(&server, &tokens.access).await.status, 401, "refused, and not on record");
    let tokens = world.refreshed(&tokens).await;
    let once_more = initiate(&server, &tokens.access).await;
    world.advance(1);
    let out = log_out(&server, &world.logout_token(&json!({"sid": tokens.session_id}))).await;
    assert_eq!(initiate(&server, &tokens.access).await.status, 401);

    let shop = format!("merchant:{MERCHANT}");
    let detail = json!({"party": shop, "role": "admin", "application": "merchant-portal", "channel": "web"});
    let of_ann = |kind, answer| {
        expected(kind, "user:ann", json!("user:ann"), json!(MERCHANT.to_string()), detail.clone(), answer)
    };
    let by_provider = expected(
        "sessions_logged_out",
        "identity_provider",
        json!("user:ann"),
        json!(MERCHANT.to_string()),
        json!({"sessions": "one", "party": shop}),
        &out,
    );
    let wanted = [
        of_ann("session_started", &started),
        of_ann("session_started", &renewed),
        of_ann("session_ended", &ended),
        of_ann("session_started", &once_more),
        by_provider,
    ];
    assert_eq!(told(&world).await.iter().map(shown).collect::<Vec<_>>(), wanted);
    let times: Vec<_> =
        told(&world).await.iter().map(|event| (event.at - pos_tests::server::START).whole_seconds()).collect();
    assert_eq!(times, [0, 1, 2, 3, 4]);
    server.stop().await;
}

async fn a_logout_is_on_record_whatever_it_ends(world: World) {
    let server = world.server();
    let bad = log_out(&server, "garbage").await;
    assert_eq!(bad.status, 400);
    let unknown = log_out(&server, &world.logout_token(&json!({"sid": "never-initiated"}))).await;
    world.advance(1);
    let whole = log_out(&server, &world.logout_token(&json!({"sub": "ann"}))).await;
    let of = |subject, sessions: &str, answer| {
        let detail = json!({ "sessions": sessions });
        expected("sessions_logged_out", "identity_provider", subject, Value::Null, detail, answer)
    };
    let wanted = [of(Value::Null, "one", &unknown), of(json!("user:ann"), "all", &whole)];
    assert_eq!(told(&world).await.iter().map(shown).collect::<Vec<_>>(), wanted);
    server.stop().await;
}

async fn a_machines_session_is_on_record(world: World) {
    let server = world.server();
    for (id, secret) in [("till", "guess"), ("renamed", SECRET), ("nobody", SECRET)] {
        assert_eq!(client_session(&server, id, secret).await.status, 401, "{id}");
    }
    assert_eq!(told(&world).await, []);
    let till = client_session(&server, "till", SECRET).await;
    world.advance(1);
    let fleet = client_session(&server, "fleet", SECRET).await;
    let user = |answer: &Answer| format!("user:{}", answer.json()["user_id"].as_str().unwrap());
    let detail = |client: &str, party: String, role: &str| json!({"client_id": client, "party": party, "role": role, "application": "api", "channel": "api"});
    let (shop, reseller) = (format!("merchant:{MERCHANT}"), format!("reseller:{RESELLER}"));
    let of = |answer, merchant, detail| {
        let user = user(answer);
        expected("session_started", &user, json!(user), merchant, detail, answer)
    };
    let wanted = [
        of(&till, json!(MERCHANT.to_string()), detail("till", shop, "operator")),
        of(&fleet, Value::Null, detail("fleet", reseller, "viewer")),
    ];
    assert_eq!(told(&world).await.iter().map(shown).collect::<Vec<_>>(), wanted);
    server.stop().await;
}

on_both_engines!(a_users_session_is_on_record, a_logout_is_on_record_whatever_it_ends, a_machines_session_is_on_record,);
