//! Texts near the valid ones, held against statements of their rules that are made apart from the code.

use std::cmp::Ordering;

use pos_domain::{AppVersion, DeviceId, IdempotencyKey, PairingCode, UserAgent};
use proptest::collection::vec;
use proptest::prelude::*;

/// A text, changed in a few places.
fn nearly(text: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    let change = (any::<prop::sample::Index>(), 0_usize..3, "[0-9.+ ()/;A-Za-zé\u{0}-]{0,2}");
    (text, vec(change, 0..3)).prop_map(|(text, changes)| {
        let mut symbols: Vec<char> = text.chars().collect();
        for (at, replaced, scrap) in changes {
            let from = at.index(symbols.len() + 1);
            let to = (from + replaced).min(symbols.len());
            symbols.splice(from..to, scrap.chars());
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

fn agent() -> impl Strategy<Value = String> {
    let whole = (version(), "( \\([A-Za-z0-9 .]{0,80};? ?[A-Za-z0-9-]{0,10}\\)?)?( okhttp/4)?");
    nearly(whole.prop_map(|(version, rest)| format!("Viopay-POS/{version}{rest}")))
}

proptest! {
    #[test]
    fn a_user_agent_is_read_exactly_when_it_begins_with_product_and_version(text in agent()) {
        let printable = text.bytes().all(|b| (b' '..=b'~').contains(&b));
        let version = text.strip_prefix("Viopay-POS/").map(|rest| rest.split(' ').next().unwrap_or_default());
        let good = printable && text.len() <= 512 && version.is_some_and(is_version);
        let read = UserAgent::parse(&text);
        prop_assert_eq!(read.is_ok(), good, "{:?}", text);
        if let Ok(agent) = read {
            prop_assert_eq!(Some(agent.app_version.as_str()), version);
            for part in [&agent.os, &agent.model].into_iter().flatten() {
                prop_assert!(!part.is_empty() && part.len() <= 64 && text.contains(part.as_str()), "{:?}", part);
                prop_assert!(!part.contains([';', ')']) && part.trim_start() == part, "{:?}", part);
            }
        }
    }

    #[test]
    fn a_version_is_read_as_its_rule_says(text in version()) {
        prop_assert_eq!(text.parse::<AppVersion>().is_ok(), is_version(&text), "{:?}", text);
    }

    #[test]
    fn versions_have_one_order(texts in vec(version(), 3)) {
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
    fn a_typed_code_is_a_code_in_either_case_with_space_and_hyphens_anywhere(
        text in nearly("[ \t-]{0,2}([A-Za-z2-9][ \u{a0}\u{2010}\u{2011}-]{0,2}){6}[ \n-]{0,2}"),
    ) {
        let counted = text.replace(|c: char| c.is_whitespace() || "-\u{2010}\u{2011}".contains(c), "");
        let symbol = |c: char| "ABCDEFGHJKLMNPQRSTUVWXYZ23456789".contains(c.to_ascii_uppercase());
        let good = counted.chars().count() == 6 && counted.chars().all(symbol);
        let read = PairingCode::from_typed(&text);
        prop_assert_eq!(read.is_ok(), good, "{:?}", text);
        if let Ok(code) = read {
            prop_assert_eq!(code.as_str(), counted.to_ascii_uppercase());
        }
    }

    #[test]
    fn an_id_is_known_by_its_prefix_and_visible_symbols(text in nearly("POS-[!-~]{0,62}")) {
        let good = text.starts_with("POS-") && text.len() <= 64 && text.bytes().all(|b| (b'!'..=b'~').contains(&b));
        prop_assert_eq!(DeviceId::parse(&text).map(|id| id.to_string()).ok(), good.then(|| text.clone()));
    }

    #[test]
    fn an_idempotency_key_is_any_visible_text(text in nearly("[!-~]{0,257}")) {
        let good = (1..=255).contains(&text.len()) && text.bytes().all(|b| (b'!'..=b'~').contains(&b));
        prop_assert_eq!(IdempotencyKey::parse(&text).map(|key| key.to_string()).ok(), good.then(|| text.clone()));
    }
}
