//! Property tests of the row parser: random files, split at random positions.

use pos_domain::shared::DeviceId;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::parser::*;

const MERCHANT: &str = "0b8f4d2e-7c1a-4e55-9d0f-2a6b1c3d4e5f";

/// Parses a file that is split at the given positions.
fn read(format: ImportFormat, file: &[u8], cuts: &[usize]) -> Result<Vec<ReadRow>, FileFault> {
    let (mut parser, mut rows) = (Box::new(FileParser::new(format)), Vec::new());
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut % (file.len() + 1)).collect();
    ends.sort_unstable();
    let mut from = 0;
    for to in ends.into_iter().chain([file.len()]) {
        parser.feed(&file[from..to], &mut rows)?;
        from = to;
    }
    parser.finish(&mut rows)?;
    Ok(rows)
}

/// Fragments of files, valid and invalid.
fn fragment() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        6 => prop::sample::select(vec![
            "device_id", "merchant_id", "label", "location_id", ",", ",", ",", "\n", "\n", "\r\n", "\r", "\"", "\"\"",
            " ", "POS-00000001", "POS-", MERCHANT, "{", "}", ":", "\"device_id\":", "\"merchant_id\":", "null", "\\u0000",
            "\\ud800", "é", "\u{feff}", "[[[[", "{\"device_id\":\"POS-00000001\",\"merchant_id\":\"",
        ]).prop_map(|text| text.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 0..6),
        1 => (1_usize..3, any::<u8>()).prop_map(|(times, byte)| vec![byte; times * 2_100]),
    ]
}

fn file() -> impl Strategy<Value = Vec<u8>> {
    let header = prop_oneof![
        2 => Just("device_id,merchant_id,label,location_id\n"),
        1 => Just("device_id,merchant_id\r\n"),
        1 => Just(""),
    ];
    (header, vec(fragment(), 0..40)).prop_map(|(header, parts)| [header.as_bytes(), &parts.concat()].concat())
}

/// A quoted field by RFC 4180: quotes around it, and each quote in it doubled.
fn quoted(field: &str) -> String {
    format!("\"{}\"", field.replace('"', "\"\""))
}

/// A random line without line ends.
fn random_line() -> impl Strategy<Value = Vec<u8>> {
    vec(fragment(), 0..6)
        .prop_map(|parts| parts.concat().into_iter().filter(|byte| !b"\r\n".contains(byte)).collect::<Vec<u8>>())
}

/// Whether a line must be parsed as empty, and whether it may be.
fn is_empty(line: &[u8]) -> (bool, bool) {
    let text = std::str::from_utf8(line).unwrap_or("x");
    let only = |others: &str| text.chars().all(|char| char.is_whitespace() || others.contains(char));
    (only(","), only(",\""))
}

proptest! {
    #[test]
    fn an_invalid_line_does_not_affect_other_lines(
        random in vec(random_line(), 1..12),
        end in prop::sample::select(vec!["\n", "\r\n", "\r"]),
        cuts in vec(any::<usize>(), 0..6),
    ) {
        let mut csv = format!("device_id,merchant_id{end}").into_bytes();
        let mut lines = Vec::new();
        let line_end = if end == "\r" { "\n" } else { end };
        for (bits, line) in (100_u32..).zip(&random) {
            let id = DeviceId::from_bits(bits);
            csv.extend_from_slice(&[line, end.as_bytes(), format!("{id},{MERCHANT}{end}").as_bytes()].concat());
            let object = format!("{{\"device_id\":\"{id}\",\"merchant_id\":\"{MERCHANT}\"}}{line_end}");
            lines.extend_from_slice(&[line, line_end.as_bytes(), object.as_bytes()].concat());
        }
        for (format, file) in [(ImportFormat::Csv, csv), (ImportFormat::JsonLines, lines)] {
            let rows = read(format, &file, &cuts).unwrap();
            let mut at = 0;
            for (bits, line) in (100_u32..).zip(&random) {
                let good = |at: usize| {
                    let device = rows.get(at).and_then(|row| row.as_ref().ok());
                    device.is_some_and(|device| device.id == DeviceId::from_bits(bits))
                };
                let (must, may) = is_empty(line);
                // Between two valid rows there is one row, or none if the line may be empty.
                let next = if good(at) { at } else { at + 1 };
                prop_assert!(good(next), "{:?}: row {} of {:?}", format, next, rows);
                if format == ImportFormat::Csv {
                    prop_assert!((next > at || may) && (next == at || !must), "{:?} in {:?}", line, rows);
                }
                at = next + 1;
            }
            prop_assert_eq!(rows.len(), at);
        }
    }

    #[test]
    fn the_result_does_not_depend_on_the_chunks(file in file(), cuts in vec(any::<usize>(), 0..12)) {
        for format in [ImportFormat::Csv, ImportFormat::JsonLines] {
            prop_assert_eq!(read(format, &file, &cuts), read(format, &file, &[]));
        }
    }

    #[test]
    fn rows_written_by_the_standard_are_read_back(
        rows in vec((any::<u32>(), "[A-Za-z\"', ;é]{0,20}[a-z]"), 1..20),
        quote in any::<bool>(),
        end in prop::sample::select(vec!["\n", "\r\n"]),
        cuts in vec(any::<usize>(), 0..6),
    ) {
        let (mut csv, mut lines) = (format!("label,device_id,merchant_id{end}"), String::new());
        for (bits, label) in &rows {
            let id = DeviceId::from_bits(*bits);
            let plain = !quote && !label.contains(['"', ',']);
            let field = if plain { label.clone() } else { quoted(label) };
            csv.push_str(&format!("{field},{id},{MERCHANT}{end}"));
            let object = serde_json::json!({ "label": label, "device_id": id.as_str(), "merchant_id": MERCHANT });
            lines.push_str(&format!("{object}{end}"));
        }
        for (format, file) in [(ImportFormat::Csv, csv), (ImportFormat::JsonLines, lines)] {
            let read = read(format, file.as_bytes(), &cuts).unwrap();
            prop_assert_eq!(read.len(), rows.len(), "{}", file);
            for (read, (bits, label)) in read.iter().zip(&rows) {
                let read = read.as_ref().unwrap();
                prop_assert_eq!(&read.id, &DeviceId::from_bits(*bits));
                prop_assert_eq!(read.details.label.as_ref().map(ToString::to_string), Some(label.trim().to_owned()));
            }
        }
    }
}
