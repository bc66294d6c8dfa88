//! Suggestions for misspelt keys ("did you mean …?").

use strsim::damerau_levenshtein as distance;

/// Returns the known key (`section.name`) most similar to `unknown`, if both of its parts are similar enough. An `unknown`
/// without a section is compared with the names alone, and with whole keys, in case its dot is the mistake.
pub(super) fn suggest<'k>(unknown: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    let likeness = |key: &'k str| {
        let (section, name) = key.split_once('.')?;
        match unknown.split_once('.') {
            Some((of, misspelt)) => Some(typo(of, section)? + typo(misspelt, name)?),
            None => typo(unknown, name).or_else(|| typo(unknown, key)),
        }
    };
    known.filter_map(|key| Some((likeness(key)?, key))).min().map(|(_, key)| key)
}

/// Edit distance of a word from the known one, if it is small enough for a typo: one letter in three, but at least one.
fn typo(word: &str, known: &str) -> Option<usize> {
    Some(distance(word, known)).filter(|distance| *distance <= (known.len() / 3).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggests_keys_for_typos_and_nothing_far_fetched() {
        let known = ["http.bind", "http.workers", "database.url", "database.max_connections", "http.max_connections"];
        let cases = [
            ("http.bidn", Some("http.bind")),
            ("htpp.bnid", Some("http.bind")),
            ("http.worker", Some("http.workers")),
            ("databse.max_conections", Some("database.max_connections")),
            ("http.max_conections", Some("http.max_connections")),
            ("bind", Some("http.bind")),
            ("http_bind", Some("http.bind")),
            ("database.pool", None),
            ("database.bind", None),
            ("entirely", None),
            ("", None),
        ];
        for (unknown, like) in cases {
            assert_eq!(suggest(unknown, known.into_iter()), like, "{unknown}");
        }
    }
}
