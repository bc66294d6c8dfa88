//! Property tests of token parsing: random tokens, compared with an independent implementation of the rules.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Value, json};
use time::macros::datetime;
use time::{Duration, OffsetDateTime};

use crate::oidc::algorithm::Algorithm;
use crate::oidc::claims::ClaimRules;
use crate::oidc::jwt::Jwt;
use crate::oidc::strict_json;

/// A JSON document that may contain duplicate names.
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

    fn has_unique_names(&self) -> bool {
        match self {
            Self::Leaf(_) => true,
            Self::Array(items) => items.iter().all(Self::has_unique_names),
            Self::Object(members) => {
                let repeated =
                    |index: usize, letter| members.iter().skip(index + 1).any(|(other, _)| other.0 == letter);
                let unique = members.iter().enumerate().all(|(index, (name, _))| !repeated(index, name.0));
                unique && members.iter().all(|(_, value)| value.has_unique_names())
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

/// A text with a few random changes.
fn mutated(text: impl Strategy<Value = String>, fragments: &'static [&'static str]) -> impl Strategy<Value = String> {
    (text, vec((any::<Index>(), 0_usize..3, select(fragments)), 0..3)).prop_map(|(text, changes)| {
        let mut letters: Vec<char> = text.chars().collect();
        for (at, replaced, fragment) in changes {
            let from = at.index(letters.len() + 1);
            let to = (from + replaced).min(letters.len());
            letters.splice(from..to, fragment.chars());
        }
        letters.into_iter().collect()
    })
}

/// Decodes base64url without padding bit by bit (RFC 4648, sections 3.5 and 5).
fn decode_base64url(part: &str) -> Option<Vec<u8>> {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut bits = String::new();
    for letter in part.bytes() {
        let value = LETTERS.iter().position(|known| *known == letter)?;
        bits += &format!("{value:06b}");
    }
    let whole = bits.len() / 8 * 8;
    let (bytes, rest) = bits.split_at(whole);
    let complete = rest.len() < 6 && rest.bytes().all(|bit| bit == b'0');
    let byte = |start: usize| u8::from_str_radix(&bytes[start..start + 8], 2).unwrap();
    complete.then(|| (0..whole).step_by(8).map(byte).collect())
}

/// The algorithm and key id of a header that is valid by RFC 7515 and the contract (section 4).
fn expected_header(bytes: &[u8]) -> Option<(Algorithm, Option<String>)> {
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

/// Mostly unchanged, so that all parts of a token are often valid.
fn rarely_mutated(
    text: impl Strategy<Value = String> + Clone,
    fragments: &'static [&'static str],
) -> impl Strategy<Value = String> {
    prop_oneof![4 => text.clone(), 1 => mutated(text, fragments)]
}

fn token() -> impl Strategy<Value = String> {
    let json = &["", "\"", ",", "{", "}", "1", "\\u0061", "é", " "];
    let object = vec(tree(), 0..3).prop_map(|values| {
        let members = values.into_iter().zip(['a', 'b', 'a']).map(|(value, name)| (Name(name, false), value));
        Json::Object(members.collect()).text()
    });
    let parts = (rarely_mutated(header().boxed(), json), rarely_mutated(object.boxed(), json), vec(any::<u8>(), 0..5));
    let whole = parts.prop_map(|(header, payload, signature)| {
        [header.into_bytes(), payload.into_bytes(), signature].map(|part| URL_SAFE_NO_PAD.encode(part)).join(".")
    });
    rarely_mutated(whole.boxed(), &["", "", ".", "=", "+", "/", "-", "_", "A", "B", " "])
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

/// Some claims, or none, and whether the rules accept them.
type ClaimCase = (Value, bool);

fn one_case(cases: Vec<ClaimCase>) -> impl Strategy<Value = ClaimCase> {
    // The first case is valid and chosen most often, so that whole payloads are often valid.
    let first = cases[0].clone();
    prop_oneof![4 => Just(first), 1 => select(cases)]
}

fn claims() -> impl Strategy<Value = [ClaimCase; 10]> {
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
    .map(one_case)
}

proptest! {
    #[test]
    fn an_object_is_parsed_exactly_if_its_names_are_unique(json in tree()) {
        let text = json.text();
        let plain: Value = serde_json::from_str(&text).unwrap();
        let expected = (plain.is_object() && json.has_unique_names()).then_some(plain);
        prop_assert_eq!(strict_json::object(text.as_bytes()).map(Value::Object), expected, "{}", text);
    }

    #[test]
    fn a_parsed_object_equals_that_of_a_plain_parser(text in mutated(tree().prop_map(|json| json.text()), &["", "\"", ",", ":", "{", "]", "\\", "1", "é"])) {
        if let Some(read) = strict_json::object(text.as_bytes()) {
            prop_assert_eq!(serde_json::from_str::<Value>(&text).ok(), Some(Value::Object(read)), "{}", text);
        }
    }

    #[test]
    fn a_token_is_parsed_exactly_if_every_part_is_valid(token in token()) {
        let parts: Vec<&str> = token.split('.').collect();
        let expected = match parts.as_slice() {
            [header, payload, signature] => (|| {
                let (algorithm, key_id) = expected_header(&decode_base64url(header)?)?;
                let payload = strict_json::object(&decode_base64url(payload)?)?;
                (!decode_base64url(signature)?.is_empty()).then_some((algorithm, key_id, payload))
            })(),
            _ => None,
        };
        let read = Jwt::parse(&token).ok().map(|jwt| (jwt.algorithm, jwt.key_id, jwt.payload));
        prop_assert_eq!(read, expected, "{}", token);
    }

    #[test]
    fn a_payload_is_accepted_exactly_if_each_claim_is(cases in claims()) {
        let mut payload = serde_json::Map::new();
        for (claims, _) in &cases {
            payload.extend(claims.as_object().unwrap().clone());
        }
        let accepted = rules().check(&payload, false, NOW).is_ok();
        prop_assert_eq!(accepted, cases.iter().all(|(_, good)| *good), "{}", Value::Object(payload));
    }
}
