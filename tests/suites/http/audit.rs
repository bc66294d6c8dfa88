//! Audit trail of API requests: actor, client address and trace id, and never a pairing code.

use pos_domain::audit::{AuditEvent, AuditKind};
use pos_domain::shared::{RequestContext, TraceId};
use pos_port_storage::device::DeviceHistory;
use pos_port_storage::shared::TimeRange;
use pos_tests::server::{Answer, Options, TestServer, send};
use reqwest::Method;
use serde_json::json;

use super::{server, with};

async fn refusals(server: &TestServer) -> Vec<AuditEvent> {
    let all = TimeRange { limit: 1_000, ..TimeRange::default() };
    let stored = server.storage.trail.audit_by_time(&all, None).await.unwrap();
    stored.into_iter().map(|stored| stored.event).filter(|event| event.kind == AuditKind::ClaimRefused).collect()
}

async fn contexts(server: &TestServer, id: &str) -> Vec<RequestContext> {
    let id = pos_domain::shared::DeviceId::parse(id).unwrap();
    let events = server.storage.events.events_of(&DeviceHistory::whole(&id)).await.unwrap();
    events
        .into_iter()
        .map(|event| RequestContext {
            client_ip: event.audit_context.client_ip,
            trace_id: event.audit_context.trace_id,
        })
        .collect()
}

fn context(client_ip: &str, answer: &Answer) -> RequestContext {
    let trace_id = answer.header("x-trace-id").and_then(TraceId::parse);
    assert!(trace_id.is_some(), "{answer:?}");
    RequestContext { client_ip: Some(client_ip.parse().unwrap()), trace_id }
}

#[tokio::test]
async fn events_have_the_client_address_and_the_trace_id() {
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
    let expected = [RequestContext::default(), context("127.0.0.1", &issued), context("127.0.0.1", &claimed)];
    assert_eq!(contexts(&server, &id).await, expected, "without trusted proxies X-Forwarded-For is ignored");
    server.stop().await;
}

#[tokio::test]
async fn the_client_address_of_a_trusted_proxy_is_used() {
    let settings = vec![("POS__HTTP__TRUSTED_PROXIES", "127.0.0.1,10.0.0.0/8".to_owned())];
    let (_store, server) = with(Options { settings, ..Options::default() }).await;
    let id = server.device().await;
    let mut expected = vec![RequestContext::default()];
    for (name, sent, client_ip) in [
        ("X-Forwarded-For", "1.1.1.1, 198.51.100.7, 10.3.2.1", "198.51.100.7"),
        ("Forwarded", "for=1.1.1.1, for=\"[2001:db8::7]:4711\";proto=https", "2001:db8::7"),
        ("X-Forwarded-For", "nonsense", "127.0.0.1"),
        ("X-Real-IP", "198.51.100.7", "127.0.0.1"),
    ] {
        let request = server.request(Method::POST, "/pos/pairing-code").header("X-Device-Id", &id).header(name, sent);
        let request = request.header("User-Agent", "Viopay-POS/1.4.2").header("X-Client-Type", "pos");
        let answer = send(request).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        expected.push(context(client_ip, &answer));
    }
    assert_eq!(contexts(&server, &id).await, expected);
    server.stop().await;
}

#[tokio::test]
async fn refused_claims_are_audited_and_invalid_requests_are_not() {
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
    let recorded: Vec<_> = refusals(&server)
        .await
        .into_iter()
        .map(|event| {
            assert!(!format!("{event:?}").contains(&code));
            assert_eq!(event.audit_context.actor.to_string(), "user:eve");
            let context =
                RequestContext { client_ip: event.audit_context.client_ip, trace_id: event.audit_context.trace_id };
            (event.detail["reason"].clone(), event.subject.map(|subject| subject.to_string()), context)
        })
        .collect();
    let device = Some(format!("device:{id}"));
    let expected =
        [("not_owner", device.clone(), foreign), ("not_found", None, unknown), ("too_many_failures", device, blocked)]
            .map(|(reason, subject, answer)| (reason.to_owned(), subject, context("127.0.0.1", &answer)));
    assert_eq!(recorded, expected);
    server.stop().await;
}
