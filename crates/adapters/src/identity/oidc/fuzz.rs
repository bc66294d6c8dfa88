//! Tokens of every kind, each held against a statement of the rule that is made apart from the code.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Value, json};
use time::macros::datetime;
use time::{Duration, OffsetDateTime};

use super::algorithm::Algorithm;
use super::claims::ClaimRules;
use super::jwt::Jwt;
use super::strict_json;

/// A JSON text, piece by piece, so that a name can stand in it twice.
#[derive(Debug, Clone)]
enum Json {
    Leaf(&'static str),
    Array(Vec<Json>),
    Object(Vec<(Name, Json)>),
}

/// A member's name, and whether it is written with an escape.
#[derive(Debug, Clone)]
struct Name(char, bool);

impl Json {
    fn text(&self) -> String {
        match self {
            Self::Leaf(text) => (*text).to_owned(),
            Self::Array(items) => format!("[{}]", items.iter().map(Self::text).collect::<Vec<_>>().join(", ")),
            Self::Object(members) => {
                let member = |(name, value): &(Name, Self)| match name {
                    Name(letter, true) => format!("\"\\u{:04x}\": {}", u32::from(*letter), value.text()),
                    Name(letter, false) => format!("\"{letter}\":{}", value.text()),
                };
                format!("{{{}}}", members.iter().map(member).collect::<Vec<_>>().join(","))
            }
        }
    }

    fn says_each_thing_once(&self) -> bool {
        match self {
            Self::Leaf(_) => true,
            Self::Array(items) => items.iter().all(Self::says_each_thing_once),
            Self::Object(members) => {
                let repeated =
                    |place: usize, letter| members.iter().skip(place + 1).any(|(other, _)| other.0 == letter);
                let once = members.iter().enumerate().all(|(place, (name, _))| !repeated(place, name.0));
                once && members.iter().all(|(_, value)| value.says_each_thing_once())
            }
        }
    }
}

fn tree() -> impl Strategy<Value = Json> {
    let leaf = select(vec!["null", "true", "0", "-1.5e3", "\"\"", "\"a:\\\"b\"", "{}", "[]"]).prop_map(Json::Leaf);
    leaf.prop_recursive(4, 24, 5, |inner| {
        let name = (select(vec!['a', 'b', 'é', ' ', '0', 'z', 'q', 'x']), any::<bool>()).prop_map(|(l, e)| Name(l, e));
        prop_oneof![
            1 => vec(inner.clone(), 0..4).prop_map(Json::Array),
            3 => vec((name, inner), 0..5).prop_map(Json::Object)
        ]
    })
}

/// A text, changed in a few places.
fn nearly(text: impl Strategy<Value = String>, scraps: &'static [&'static str]) -> impl Strategy<Value = String> {
    (text, vec((any::<Index>(), 0_usize..3, select(scraps)), 0..3)).prop_map(|(text, changes)| {
        let mut letters: Vec<char> = text.chars().collect();
        for (at, replaced, scrap) in changes {
            let from = at.index(letters.len() + 1);
            let to = (from + replaced).min(letters.len());
            letters.splice(from..to, scrap.chars());
        }
        letters.into_iter().collect()
    })
}

/// Base64url without padding by its bits (RFC 4648, sections 3.5 and 5).
fn bytes_of(part: &str) -> Option<Vec<u8>> {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut bits = String::new();
    for letter in part.bytes() {
        let value = LETTERS.iter().position(|known| *known == letter)?;
        bits += &format!("{value:06b}");
    }
    let whole = bits.len() / 8 * 8;
    let (bytes, rest) = bits.split_at(whole);
    let complete = rest.len() < 6 && rest.bytes().all(|bit| bit == b'0');
    let byte = |place: usize| u8::from_str_radix(&bytes[place..place + 8], 2).unwrap();
    complete.then(|| (0..whole).step_by(8).map(byte).collect())
}

/// What RFC 7515 and the contract (section 4) make of a header: the algorithm and the key's id, if it is one.
fn stated_header(bytes: &[u8]) -> Option<(Algorithm, Option<String>)> {
    let header = strict_json::object(bytes)?;
    let algorithm = ALGORITHMS.iter().find(|(name, _)| header.get("alg").is_some_and(|alg| alg == name));
    let typ = header.get("typ").map(|typ| typ.as_str().unwrap_or("?").to_ascii_lowercase());
    let types = ["jwt", "at+jwt", "application/jwt", "application/at+jwt"];
    let typed = typ.is_none_or(|typ| types.contains(&typ.as_str()));
    let key_id = header.get("kid");
    let named = key_id.is_none_or(Value::is_string);
    let good = typed && named && !header.contains_key("crit");
    let (_, algorithm) = algorithm.filter(|_| good)?;
    Some((*algorithm, key_id.and_then(Value::as_str).map(str::to_owned)))
}

const ALGORITHMS: [(&str, Algorithm); 8] = [
    ("RS256", Algorithm::Rs256),
    ("RS384", Algorithm::Rs384),
    ("RS512", Algorithm::Rs512),
    ("PS256", Algorithm::Ps256),
    ("PS384", Algorithm::Ps384),
    ("PS512", Algorithm::Ps512),
    ("ES256", Algorithm::Es256),
    ("ES384", Algorithm::Es384),
];

fn header() -> impl Strategy<Value = String> {
    let member = |texts: &'static [&'static str]| select(texts).prop_map(str::to_owned);
    let others = ["rs256", "ES512", "EdDSA", "HS256", "none", ""];
    let names: Vec<&str> = ALGORITHMS.iter().map(|(name, _)| *name).chain(others).collect();
    let alg = prop_oneof![
        8 => select(names).prop_map(|name| format!("\"alg\":\"{name}\",")),
        1 => member(&["", "\"alg\":1,", "\"alg\":[\"RS256\"],"]),
    ];
    let typ =
        member(&["", "\"typ\":\"JWT\",", "\"typ\":\"application/at+JWT\",", "\"typ\":\"logout+jwt\",", "\"typ\":1,"]);
    let kid = member(&["", "\"kid\":\"k1\",", "\"kid\":null,", "\"kid\":\"\","]);
    let end = member(&["\"x\":0", "\"x\":0", "\"crit\":[]", "\"alg\":\"RS256\""]);
    (alg, typ, kid, end).prop_map(|(alg, typ, kid, end)| format!("{{{alg}{typ}{kid}{end}}}"))
}

/// Mostly as it is, or tokens would hardly ever be good in every part.
fn mostly(
    text: impl Strategy<Value = String> + Clone,
    scraps: &'static [&'static str],
) -> impl Strategy<Value = String> {
    prop_oneof![4 => text.clone(), 1 => nearly(text, scraps)]
}

fn token() -> impl Strategy<Value = String> {
    let json = &["", "\"", ",", "{", "}", "1", "\\u0061", "é", " "];
    let object = vec(tree(), 0..3).prop_map(|values| {
        let members = values.into_iter().zip(['a', 'b', 'a']).map(|(value, name)| (Name(name, false), value));
        Json::Object(members.collect()).text()
    });
    let parts = (mostly(header().boxed(), json), mostly(object.boxed(), json), vec(any::<u8>(), 0..5));
    let whole = parts.prop_map(|(header, payload, signature)| {
        [header.into_bytes(), payload.into_bytes(), signature].map(|part| URL_SAFE_NO_PAD.encode(part)).join(".")
    });
    mostly(whole.boxed(), &["", "", ".", "=", "+", "/", "-", "_", "A", "B", " "])
}

const NOW: OffsetDateTime = datetime!(2026-01-01 12:00 UTC);
const MERCHANT: &str = "0b8f4d2e-7c1a-4e55-9d0f-2a6b1c3d4e5f";

fn rules() -> ClaimRules {
    ClaimRules {
        issuer: "https://idp.example".into(),
        audience: "pos".into(),
        merchant_claim: "m".into(),
        reseller_claim: "org.r".into(),
        roles_claim: "roles".into(),
        leeway: Duration::seconds(30),
    }
}

/// Some claims, or none, and whether the rules allow that.
type Drawn = (Value, bool);

fn drawn(of: Vec<Drawn>) -> impl Strategy<Value = Drawn> {
    // The first is good: mostly that one, so that whole payloads are good often enough.
    let first = of[0].clone();
    prop_oneof![4 => Just(first), 1 => select(of)]
}

fn claims() -> impl Strategy<Value = [Drawn; 10]> {
    let now = NOW.unix_timestamp();
    let good = |claims: Value| (claims, true);
    let bad = |claims: Value| (claims, false);
    let long = "x".repeat(256);
    let id = |name: &str, text: &str| json!({ name: text });
    [
        vec![
            good(json!({"iss": "https://idp.example"})),
            bad(json!({})),
            bad(json!({"iss": "https://idp.example/"})),
            bad(json!({"iss": 1})),
        ],
        vec![
            good(json!({"typ": "Bearer"})),
            bad(json!({})),
            bad(json!({"typ": "ID"})),
            bad(json!({"typ": "bearer"})),
            bad(json!({"typ": null})),
        ],
        vec![good(json!({})), bad(json!({"events": {}})), bad(json!({"events": null}))],
        vec![
            good(json!({"aud": "pos"})),
            good(json!({"aud": ["a", "pos"]})),
            good(json!({"azp": "pos"})),
            good(json!({"aud": "a", "azp": "pos"})),
            bad(json!({"aud": ["a", "pos", 1]})),
            bad(json!({"aud": "a"})),
            bad(json!({"aud": "POS"})),
            bad(json!({"aud": {"pos": 1}})),
            bad(json!({"aud": "pos", "azp": 1})),
            bad(json!({})),
        ],
        vec![
            good(json!({"exp": now + 300})),
            good(json!({"exp": now - 29})),
            good(json!({"exp": now + 1, "iat": now + 30, "nbf": 0})),
            good(json!({"exp": now + 1, "iat": -1})),
            good(json!({"exp": (now - 29) as f64 - 0.5})),
            bad(json!({"exp": now - 30})),
            bad(json!({"exp": now + 300, "nbf": now + 31})),
            bad(json!({"exp": now + 300, "iat": now + 31})),
            bad(json!({"exp": now + 300, "iat": 1e300})),
            bad(json!({"exp": 1e300})),
            bad(json!({"exp": i64::MAX})),
            bad(json!({"exp": u64::MAX})),
            bad(json!({"exp": (now + 300).to_string()})),
            bad(json!({"exp": null})),
            bad(json!({})),
        ],
        vec![
            good(json!({"sub": "u"})),
            bad(json!({})),
            bad(json!({"sub": ""})),
            bad(json!({"sub": long})),
            bad(json!({"sub": "a\nb"})),
            bad(json!({"sub": 1})),
        ],
        vec![
            good(id("m", MERCHANT)),
            good(json!({})),
            good(id("m", &MERCHANT.to_uppercase())),
            good(json!({"m": [MERCHANT]})),
            bad(json!({"m": [MERCHANT, MERCHANT]})),
            bad(json!({"m": []})),
            bad(id("m", &MERCHANT.replace('-', ""))),
            bad(id("m", &format!("{{{MERCHANT}}}"))),
            bad(id("m", "")),
            bad(json!({"m": null})),
        ],
        vec![
            good(json!({})),
            good(json!({"org": {}})),
            good(json!({"org": {"r": MERCHANT}})),
            good(json!({"org.r": MERCHANT})),
            bad(json!({"org": {"r": 1}})),
            bad(json!({"org": "r"})),
        ],
        vec![
            good(json!({"roles": ["a"]})),
            good(json!({})),
            good(json!({"roles": "a b"})),
            bad(json!({"roles": [1]})),
            bad(json!({"roles": {}})),
        ],
        vec![
            good(json!({})),
            good(json!({"sid": "s"})),
            good(json!({"jti": ""})),
            bad(json!({"sid": ""})),
            bad(json!({"sid": 1})),
            bad(json!({"jti": 1})),
        ],
    ]
    .map(drawn)
}

proptest! {
    #[test]
    fn an_object_is_read_exactly_when_it_says_each_thing_once(json in tree()) {
        let text = json.text();
        let plain: Value = serde_json::from_str(&text).unwrap();
        let expected = (plain.is_object() && json.says_each_thing_once()).then_some(plain);
        prop_assert_eq!(strict_json::object(text.as_bytes()).map(Value::Object), expected, "{}", text);
    }

    #[test]
    fn what_is_read_is_what_a_plain_reader_reads(text in nearly(tree().prop_map(|json| json.text()), &["", "\"", ",", ":", "{", "]", "\\", "1", "é"])) {
        if let Some(read) = strict_json::object(text.as_bytes()) {
            prop_assert_eq!(serde_json::from_str::<Value>(&text).ok(), Some(Value::Object(read)), "{}", text);
        }
    }

    #[test]
    fn a_token_is_taken_apart_exactly_when_every_part_is_one(token in token()) {
        let parts: Vec<&str> = token.split('.').collect();
        let expected = match parts.as_slice() {
            [header, payload, signature] => (|| {
                let (algorithm, key_id) = stated_header(&bytes_of(header)?)?;
                let payload = strict_json::object(&bytes_of(payload)?)?;
                (!bytes_of(signature)?.is_empty()).then_some((algorithm, key_id, payload))
            })(),
            _ => None,
        };
        let read = Jwt::parse(&token).ok().map(|jwt| (jwt.algorithm, jwt.key_id, jwt.payload));
        prop_assert_eq!(read, expected, "{}", token);
    }

    #[test]
    fn a_payload_passes_exactly_when_each_claim_does(drawn in claims()) {
        let mut payload = serde_json::Map::new();
        for (claims, _) in &drawn {
            payload.extend(claims.as_object().unwrap().clone());
        }
        let accepted = rules().check(&payload, false, NOW).is_ok();
        prop_assert_eq!(accepted, drawn.iter().all(|(_, good)| *good), "{}", Value::Object(payload));
    }
}
