//! Tests of import modes and row refusals.

use pos_domain::fleet::{ImportMode, RowRefusal};

fn refusals() -> [RowRefusal; 10] {
    [
        RowRefusal::malformed("the row has 3 fields"),
        RowRefusal::InvalidDeviceId,
        RowRefusal::InvalidMerchantId,
        RowRefusal::InvalidLabel,
        RowRefusal::InvalidLocationId,
        RowRefusal::UnknownMerchant,
        RowRefusal::UnknownLocation,
        RowRefusal::Duplicate { of: 7 },
        RowRefusal::Taken,
        RowRefusal::NotImported { because_of: u64::MAX },
    ]
}

#[test]
fn every_refusal_is_restored_from_its_word_and_detail() {
    for refusal in refusals() {
        assert_eq!(RowRefusal::of(refusal.word(), refusal.detail().as_deref()), Some(refusal.clone()));
        assert!(!refusal.to_string().is_empty());
    }
    let words: std::collections::BTreeSet<_> = refusals().iter().map(RowRefusal::word).collect();
    assert_eq!(words.len(), refusals().len(), "each has its own word");
}

#[test]
fn a_word_without_its_detail_is_not_a_refusal() {
    for (word, detail) in [("malformed", None), ("duplicate", None), ("duplicate", Some("x")), ("soon", None)] {
        assert_eq!(RowRefusal::of(word, detail), None, "{word} {detail:?}");
    }
}

#[test]
fn a_malformed_row_message_is_truncated_and_sanitized() {
    let long = "é\n\0".repeat(1_000);
    let RowRefusal::Malformed(message) = RowRefusal::malformed(long) else { panic!("malformed") };
    assert_eq!(message.chars().count(), RowRefusal::MAX_DETAIL);
    assert!(!message.chars().any(char::is_control), "{message:?}");
}

#[test]
fn modes_round_trip_through_their_words() {
    for mode in [ImportMode::AllOrNothing, ImportMode::BestEffort] {
        assert_eq!(mode.as_str().parse(), Ok(mode));
    }
    assert!("some".parse::<ImportMode>().is_err());
    assert_eq!(ImportMode::default(), ImportMode::AllOrNothing);
}
