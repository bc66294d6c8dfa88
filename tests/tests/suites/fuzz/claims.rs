//! The claim's body: exactly what is valid is accepted.

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::raw::Raw;
use super::{SECRET, Target, runner};

impl Target {
    fn claim(&self, token: &str, body: &[u8]) -> Result<Raw, TestCaseError> {
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

/// What may stand as a code: codes nobody was given, and nearly codes.
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

/// What the contract has the caller told (section 3), of a body that is JSON and in which no code that exists stands.
fn stated(body: &Value) -> &'static str {
    let text_or_none = |name: &str| body.get(name).is_none_or(|value| value.is_string() || value.is_null());
    let counts = |c: &char| !c.is_whitespace() && !"-\u{2010}\u{2011}".contains(*c);
    let code = body.get("pairing_code").and_then(Value::as_str).map(|code| code.chars().filter(counts).count());
    let valid = body.is_object() && text_or_none("device_id") && code == Some(6);
    if valid { "400/4004" } else { "400/4000" }
}

#[test]
fn claim_bodies_of_every_kind_are_told_as_the_contract_says() {
    let target = Target::start();
    runner()
        .run(&body(), |body| {
            let answer = target.claim("ann", body.to_string().as_bytes())?;
            prop_assert_eq!(answer.outcome(), stated(&body), "{:?}", answer);
            let told = &answer.json()?["error"]["details"]["pairing_code"];
            let echo = if stated(&body) == "400/4004" { &body["pairing_code"] } else { &Value::Null };
            prop_assert_eq!(told, echo);
            Ok(())
        })
        .unwrap();
    target.runtime.block_on(target.server.stop());
}

#[test]
fn bytes_that_are_nearly_json_claim_nothing() {
    let target = Target::start();
    let scrap = prop_oneof![
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
    let changes = vec((any::<prop::sample::Index>(), 0_usize..3, scrap), 1..4);
    runner()
        .run(&(body(), changes), |(body, changes)| {
            let mut bytes = body.to_string().into_bytes();
            for (at, replaced, scrap) in changes {
                let from = at.index(bytes.len() + 1);
                let to = (from + replaced).min(bytes.len());
                bytes.splice(from..to, scrap);
            }
            let answer = target.claim("ann", &bytes)?;
            let sent = String::from_utf8_lossy(&bytes);
            let once = |name: &str| sent.matches(name).count() <= 1;
            let plain = once("pairing_code") && once("device_id") && !sent.contains("\\u");
            match serde_json::from_slice::<Value>(&bytes) {
                // A name that is given twice is told as a fault, which a plain reader does not see.
                Ok(read) if plain => prop_assert_eq!(answer.outcome(), stated(&read), "{}", sent),
                Ok(_) => prop_assert_eq!(answer.status, 400, "{}", sent),
                // Within a field that nobody knows a reader need not look at everything.
                Err(_) => prop_assert_eq!(answer.status, 400, "{}", sent),
            }
            Ok(())
        })
        .unwrap();
    target.runtime.block_on(target.server.stop());
}

#[test]
fn a_code_is_claimed_however_it_is_typed_and_a_bad_token_comes_back_nowhere() {
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
            let cased = code.chars().enumerate().map(|(place, c)| {
                let c = if lower >> place & 1 == 1 { c.to_ascii_lowercase() } else { c };
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
