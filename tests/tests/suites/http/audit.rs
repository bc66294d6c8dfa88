//! The audit trail as the API writes it: who, from where, by which call, and never a code.

use pos_domain::{AuditEvent, AuditKind, CallContext, TraceId};
use pos_port_storage::{History, Span};
use pos_tests::server::{Answer, Options, TestServer, send};
use reqwest::Method;
use serde_json::json;

use super::{server, with};

async fn refusals(server: &TestServer) -> Vec<AuditEvent> {
    let all = Span { limit: 1_000, ..Span::default() };
    let kept = server.storage.events.audit_by_time(&all, None).await.unwrap();
    kept.into_iter().map(|kept| kept.event).filter(|event| event.kind == AuditKind::ClaimRefused).collect()
}

async fn contexts(server: &TestServer, id: &str) -> Vec<CallContext> {
    let id = pos_domain::DeviceId::parse(id).unwrap();
    let events = server.storage.events.events_of(&History::whole(&id)).await.unwrap();
    events.into_iter().map(|event| CallContext { origin: event.act.origin, trace_id: event.act.trace_id }).collect()
}

fn context(origin: &str, answer: &Answer) -> CallContext {
    let trace_id = answer.header("x-trace-id").and_then(TraceId::parse);
    assert!(trace_id.is_some(), "{answer:?}");
    CallContext { origin: Some(origin.parse().unwrap()), trace_id }
}

#[tokio::test]
async fn events_carry_address_and_trace_id() {
    let (_store, server) = server().await;
    let id = server.device().await;
    let issued = server.terminal(Method::POST, "/pos/pairing-code", &id).await;
    let code = issued.json()["pairing_code"].as_str().unwrap().to_owned();
    let claimed = send(
        server
            .request(Method::POST, "/pos/claim")
            .bearer_auth("ann")
            .header("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
            .header("X-Forwarded-For", "198.51.100.7")
            .json(&json!({ "pairing_code": code })),
    )
    .await;
    assert_eq!(claimed.header("x-trace-id"), Some("4bf92f3577b34da6a3ce929d0e0e4736"));
    let expected = [CallContext::default(), context("127.0.0.1", &issued), context("127.0.0.1", &claimed)];
    assert_eq!(contexts(&server, &id).await, expected, "nobody's word is taken unless it is configured");
    server.stop().await;
}

#[tokio::test]
async fn a_trusted_proxys_word_is_taken() {
    let settings = vec![("POS__HTTP__TRUSTED_PROXIES", "127.0.0.1,10.0.0.0/8".to_owned())];
    let (_store, server) = with(Options { settings, ..Options::default() }).await;
    let id = server.device().await;
    let mut expected = vec![CallContext::default()];
    for (name, sent, origin) in [
        ("X-Forwarded-For", "1.1.1.1, 198.51.100.7, 10.3.2.1", "198.51.100.7"),
        ("Forwarded", "for=1.1.1.1, for=\"[2001:db8::7]:4711\";proto=https", "2001:db8::7"),
        ("X-Forwarded-For", "nonsense", "127.0.0.1"),
        ("X-Real-IP", "198.51.100.7", "127.0.0.1"),
    ] {
        let request = server.request(Method::POST, "/pos/pairing-code").header("X-Device-Id", &id).header(name, sent);
        let request = request.header("User-Agent", "Viopay-POS/1.4.2").header("X-Client-Type", "pos");
        let answer = send(request).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        expected.push(context(origin, &answer));
    }
    assert_eq!(contexts(&server, &id).await, expected);
    server.stop().await;
}

#[tokio::test]
async fn refused_claims_are_on_record_and_calls_that_are_none_are_not() {
    let settings = vec![("POS__CLAIM__MAX_FAILURES", "2".to_owned())];
    let (_store, server) = with(Options { settings, ..Options::default() }).await;
    let id = server.device().await;
    let code = server.code(&id).await;
    let right = json!({ "pairing_code": code });
    let _ = server.claim("nobody", &right).await.failure(401, "4001");
    let _ = server.claim("ann", &json!({ "pairing_code": "SHORT" })).await.failure(400, "4000");
    assert_eq!(refusals(&server).await, []);
    let foreign = server.claim("eve", &right).await;
    let unknown = server.claim("eve", &json!({ "pairing_code": "ZZZZZZ" })).await;
    let blocked = server.claim("eve", &right).await;
    let _ = server.claim("eve", &right).await.failure(429, "4290");
    let told: Vec<_> = refusals(&server)
        .await
        .into_iter()
        .map(|event| {
            assert!(!format!("{event:?}").contains(&code));
            assert_eq!(event.act.actor.to_string(), "user:eve");
            let context = CallContext { origin: event.act.origin, trace_id: event.act.trace_id };
            (event.detail["reason"].clone(), event.subject.map(|subject| subject.to_string()), context)
        })
        .collect();
    let device = Some(format!("device:{id}"));
    let expected =
        [("not_owner", device.clone(), foreign), ("not_found", None, unknown), ("too_many_failures", device, blocked)]
            .map(|(reason, subject, answer)| (reason.to_owned(), subject, context("127.0.0.1", &answer)));
    assert_eq!(told, expected);
    server.stop().await;
}
