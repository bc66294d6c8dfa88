//! Property tests of the parsers with nearly valid texts, compared with independent statements of their rules.

use std::cmp::Ordering;

use pos_domain::device::{AppVersion, PairingCode, UserAgent};
use pos_domain::shared::{DeviceId, IdempotencyKey};
use proptest::collection::vec;
use proptest::prelude::*;

/// A text with a few random edits.
fn nearly(text: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    let change = (any::<prop::sample::Index>(), 0_usize..3, "[0-9.+ ()/;A-Za-zé\u{0}-]{0,2}");
    (text, vec(change, 0..3)).prop_map(|(text, changes)| {
        let mut symbols: Vec<char> = text.chars().collect();
        for (at, replaced, insertion) in changes {
            let from = at.index(symbols.len() + 1);
            let to = (from + replaced).min(symbols.len());
            symbols.splice(from..to, insertion.chars());
        }
        symbols.into_iter().collect()
    })
}

fn version() -> impl Strategy<Value = String> {
    nearly("[0-9]{1,3}(\\.[0-9]{1,10}){0,4}([-+][a-z0-9.]{0,8})?")
}

/// One to four dotted numbers, an optional suffix after `-` or `+`, 32 bytes at most.
fn is_version(text: &str) -> bool {
    let numbers_end = text.find(['-', '+']).unwrap_or(text.len());
    let (numbers, suffix) = text.split_at(numbers_end);
    let numbers: Vec<&str> = numbers.split('.').collect();
    let number =
        |text: &&str| !text.is_empty() && text.chars().all(|c| c.is_ascii_digit()) && text.parse::<u32>().is_ok();
    text.len() <= 32
        && numbers.len() <= 4
        && numbers.iter().all(number)
        && suffix.len() != 1
        && suffix.chars().all(|c| c.is_ascii_alphanumeric() || ".-+".contains(c))
}

fn user_agent() -> impl Strategy<Value = String> {
    let whole = (version(), "( \\([A-Za-z0-9 .]{0,80};? ?[A-Za-z0-9-]{0,10}\\)?)?( okhttp/4)?");
    nearly(whole.prop_map(|(version, rest)| format!("Viopay-POS/{version}{rest}")))
}

proptest! {
    #[test]
    fn a_user_agent_is_accepted_if_it_starts_with_product_and_version(text in user_agent()) {
        let printable = text.bytes().all(|b| (b' '..=b'~').contains(&b));
        let version = text.strip_prefix("Viopay-POS/").map(|rest| rest.split(' ').next().unwrap_or_default());
        let valid = printable && text.len() <= 512 && version.is_some_and(is_version);
        let parsed = UserAgent::parse(&text);
        prop_assert_eq!(parsed.is_ok(), valid, "{:?}", text);
        if let Ok(user_agent) = parsed {
            prop_assert_eq!(Some(user_agent.app_version.as_str()), version);
            for part in [&user_agent.os, &user_agent.model].into_iter().flatten() {
                prop_assert!(!part.is_empty() && part.len() <= 64 && text.contains(part.as_str()), "{:?}", part);
                prop_assert!(!part.contains([';', ')']) && part.trim_start() == part, "{:?}", part);
            }
        }
    }

    #[test]
    fn a_version_is_accepted_if_it_follows_the_rule(text in version()) {
        prop_assert_eq!(text.parse::<AppVersion>().is_ok(), is_version(&text), "{:?}", text);
    }

    #[test]
    fn versions_have_a_total_order(texts in vec(version(), 3)) {
        let all: Vec<AppVersion> = texts.iter().filter_map(|text| text.parse().ok()).collect();
        for one in &all {
            prop_assert_eq!(one.cmp(one), Ordering::Equal);
            for other in &all {
                prop_assert_eq!(one.cmp(other), other.cmp(one).reverse());
                prop_assert_eq!(one == other, one.cmp(other) == Ordering::Equal);
                for third in &all {
                    prop_assert!(!(one <= other && other <= third) || one <= third, "{} {} {}", one, other, third);
                }
            }
        }
    }

    #[test]
    fn a_typed_code_may_have_any_case_white_space_and_hyphens(
        text in nearly("[ \t-]{0,2}([A-Za-z2-9][ \u{a0}\u{2010}\u{2011}-]{0,2}){6}[ \n-]{0,2}"),
    ) {
        let counted = text.replace(|c: char| c.is_whitespace() || "-\u{2010}\u{2011}".contains(c), "");
        let symbol = |c: char| "ABCDEFGHJKLMNPQRSTUVWXYZ23456789".contains(c.to_ascii_uppercase());
        let valid = counted.chars().count() == 6 && counted.chars().all(symbol);
        let parsed = PairingCode::from_typed(&text);
        prop_assert_eq!(parsed.is_ok(), valid, "{:?}", text);
        if let Ok(code) = parsed {
            prop_assert_eq!(code.as_str(), counted.to_ascii_uppercase());
        }
    }

    #[test]
    fn a_device_id_is_accepted_if_it_has_the_prefix_and_visible_characters(text in nearly("POS-[!-~]{0,62}")) {
        let valid = text.starts_with("POS-") && text.len() <= 64 && text.bytes().all(|b| (b'!'..=b'~').contains(&b));
        prop_assert_eq!(DeviceId::parse(&text).map(|id| id.to_string()).ok(), valid.then(|| text.clone()));
    }

    #[test]
    fn an_idempotency_key_is_any_visible_ascii_text(text in nearly("[!-~]{0,257}")) {
        let valid = (1..=255).contains(&text.len()) && text.bytes().all(|b| (b'!'..=b'~').contains(&b));
        prop_assert_eq!(IdempotencyKey::parse(&text).map(|key| key.to_string()).ok(), valid.then(|| text.clone()));
    }
}
