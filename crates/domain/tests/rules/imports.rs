//! Rows of an import, and the words for what is wrong with them.

use pos_domain::{ImportMode, RowRefusal};

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
fn every_refusal_comes_back_from_its_word_and_detail() {
    for refusal in refusals() {
        assert_eq!(RowRefusal::of(refusal.word(), refusal.detail().as_deref()), Some(refusal.clone()));
        assert!(!refusal.to_string().is_empty());
    }
    let words: std::collections::BTreeSet<_> = refusals().iter().map(RowRefusal::word).collect();
    assert_eq!(words.len(), refusals().len(), "each has a word of its own");
}

#[test]
fn a_word_without_what_it_needs_is_none() {
    for (word, detail) in [("malformed", None), ("duplicate", None), ("duplicate", Some("x")), ("soon", None)] {
        assert_eq!(RowRefusal::of(word, detail), None, "{word} {detail:?}");
    }
}

#[test]
fn what_a_row_says_of_itself_is_cut_and_harmless() {
    let long = "é\n\0".repeat(1_000);
    let RowRefusal::Malformed(told) = RowRefusal::malformed(long) else { panic!("malformed") };
    assert_eq!(told.chars().count(), RowRefusal::MAX_DETAIL);
    assert!(!told.chars().any(char::is_control), "{told:?}");
}

#[test]
fn modes_have_words() {
    for mode in [ImportMode::AllOrNothing, ImportMode::BestEffort] {
        assert_eq!(mode.as_str().parse(), Ok(mode));
    }
    assert!("some".parse::<ImportMode>().is_err());
    assert_eq!(ImportMode::default(), ImportMode::AllOrNothing);
}
