//! Fuzz tests of the claim's body: exactly the valid bodies are accepted.

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::raw::RawResponse;
use super::{SECRET, Target, runner};

impl Target {
    fn claim(&self, token: &str, body: &[u8]) -> Result<RawResponse, TestCaseError> {
        let head = format!(
            "POST /pos/claim HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n",
            body.len()
        );
        self.exchange(&[head.as_bytes(), body].concat())
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map(any::<String>(), inner, 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// Values of `pairing_code`: codes that do not exist, and near misses.
fn code() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => "[ \t\u{a0}-]{0,2}[A-Za-z2-9]{3}[ \u{2011}-]?[A-Za-z2-9]{3}[ \n-]{0,2}".prop_map(Value::from),
        2 => "[ -~é🙂]{0,8}".prop_map(Value::from),
        1 => any::<String>().prop_map(Value::from),
        1 => any_json(),
    ]
}

fn body() -> impl Strategy<Value = Value> {
    let device = prop_oneof![1 => "POS-[0-9A-F]{8}".prop_map(Value::from), 1 => any_json()];
    let fields = (
        prop::option::weighted(0.9, code()),
        prop::option::weighted(0.3, device),
        prop::collection::hash_map(any::<String>(), any_json(), 0..3),
    );
    let object = fields.prop_map(|(code, device, others)| {
        let mut object: Map<String, Value> = others.into_iter().collect();
        object.extend(code.map(|code| ("pairing_code".to_owned(), code)));
        object.extend(device.map(|device| ("device_id".to_owned(), device)));
        Value::Object(object)
    });
    prop_oneof![8 => object, 1 => any_json()]
}

/// The outcome that the contract (section 3) specifies for a JSON body without an existing code.
fn expected(body: &Value) -> &'static str {
    let text_or_none = |name: &str| body.get(name).is_none_or(|value| value.is_string() || value.is_null());
    let counts = |c: &char| !c.is_whitespace() && !"-\u{2010}\u{2011}".contains(*c);
    let code = body.get("pairing_code").and_then(Value::as_str).map(|code| code.chars().filter(counts).count());
    let valid = body.is_object() && text_or_none("device_id") && code == Some(6);
    if valid { "400/4004" } else { "400/4000" }
}

#[test]
fn generated_claim_bodies_get_the_outcome_of_the_contract() {
    let target = Target::start();
    runner()
        .run(&body(), |body| {
            let answer = target.claim("ann", body.to_string().as_bytes())?;
            prop_assert_eq!(answer.outcome(), expected(&body), "{:?}", answer);
            let echoed = &answer.json()?["error"]["details"]["pairing_code"];
            let sent = if expected(&body) == "400/4004" { &body["pairing_code"] } else { &Value::Null };
            prop_assert_eq!(echoed, sent);
            Ok(())
        })
        .unwrap();
    target.runtime.block_on(target.server.stop());
}

#[test]
fn malformed_json_claims_nothing() {
    let target = Target::start();
    let fragment = prop_oneof![
        prop::sample::select(vec![
            "\"",
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            "\\",
            "\\u0000",
            "\\ud800",
            "null",
            "1e999",
            "-",
            "\u{feff}",
            "/**/",
            "\"pairing_code\":\"K7M3NP\",",
            "\n",
            "\0",
            "'",
            "NaN",
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
        vec(any::<u8>(), 0..4),
        (1_usize..200).prop_map(|depth| b"[".repeat(depth)),
    ];
    let changes = vec((any::<prop::sample::Index>(), 0_usize..3, fragment), 1..4);
    runner()
        .run(&(body(), changes), |(body, changes)| {
            let mut bytes = body.to_string().into_bytes();
            for (at, replaced, fragment) in changes {
                let from = at.index(bytes.len() + 1);
                let to = (from + replaced).min(bytes.len());
                bytes.splice(from..to, fragment);
            }
            let answer = target.claim("ann", &bytes)?;
            let sent = String::from_utf8_lossy(&bytes);
            let once = |name: &str| sent.matches(name).count() <= 1;
            let plain = once("pairing_code") && once("device_id") && !sent.contains("\\u");
            match serde_json::from_slice::<Value>(&bytes) {
                // The server rejects a repeated field name, which `serde_json::Value` accepts.
                Ok(read) if plain => prop_assert_eq!(answer.outcome(), expected(&read), "{}", sent),
                Ok(_) => prop_assert_eq!(answer.status, 400, "{}", sent),
                // Even if the fault is inside an unknown field.
                Err(_) => prop_assert_eq!(answer.status, 400, "{}", sent),
            }
            Ok(())
        })
        .unwrap();
    target.runtime.block_on(target.server.stop());
}

#[test]
fn a_code_is_accepted_in_any_spelling_and_a_bad_token_is_not_echoed() {
    let target = Target::start();
    let blanks = || vec("[ \t\n\u{2003}\u{2011}-]{0,3}", 7);
    let typed = (blanks(), any::<u8>(), any::<bool>(), "[ -~]{0,20}");
    runner()
        .run(&typed, |(blanks, lower, named, other)| {
            let (device, code) = target.runtime.block_on(async {
                let device = target.server.device().await;
                let code = target.server.code(&device).await;
                (device, code)
            });
            let cased = code.chars().enumerate().map(|(index, c)| {
                let c = if lower >> index & 1 == 1 { c.to_ascii_lowercase() } else { c };
                c.to_string()
            });
            let typed: String =
                blanks.iter().cloned().zip(cased.chain([String::new()])).flat_map(<[String; 2]>::from).collect();
            let mut body = json!({ "pairing_code": typed, "other": other });
            if named {
                body["device_id"] = json!(device);
            }
            let bytes = body.to_string().into_bytes();
            for token in [SECRET.to_owned(), format!("{SECRET}.e30.{SECRET}")] {
                prop_assert_eq!(target.claim(&token, &bytes)?.outcome(), "401/4001");
            }
            prop_assert_eq!(target.claim("eve", &bytes)?.outcome(), "403/4003");
            let answer = target.claim("ann", &bytes)?;
            prop_assert_eq!(answer.json()?, json!({ "status": "claimed", "device_id": device }));
            prop_assert_eq!(target.claim("ann", &bytes)?.outcome(), "400/4220");
            Ok(())
        })
        .unwrap();
    target.runtime.block_on(target.server.stop());
}
