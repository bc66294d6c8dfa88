//! Files of every kind, cut in every way.

use pos_domain::DeviceId;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const SHOP: &str = "0b8f4d2e-7c1a-4e55-9d0f-2a6b1c3d4e5f";

/// The rows of a file that comes in pieces that end at these places.
fn read(format: ImportFormat, file: &[u8], cuts: &[usize]) -> Result<Vec<ReadRow>, FileFault> {
    let (mut parser, mut rows) = (RowParser::new(format), Vec::new());
    let mut places: Vec<usize> = cuts.iter().map(|cut| cut % (file.len() + 1)).collect();
    places.sort_unstable();
    let mut from = 0;
    for to in places.into_iter().chain([file.len()]) {
        parser.feed(&file[from..to], &mut rows)?;
        from = to;
    }
    parser.finish(&mut rows)?;
    Ok(rows)
}

/// Pieces that files are made of, good and bad.
fn scrap() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        6 => prop::sample::select(vec![
            "device_id", "merchant_id", "label", "location_id", ",", ",", ",", "\n", "\n", "\r\n", "\r", "\"", "\"\"",
            " ", "POS-00000001", "POS-", SHOP, "{", "}", ":", "\"device_id\":", "\"merchant_id\":", "null", "\\u0000",
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
    (header, vec(scrap(), 0..40)).prop_map(|(header, scraps)| [header.as_bytes(), &scraps.concat()].concat())
}

/// What RFC 4180 says of one field: quotes around it, and each quote in it twice.
fn quoted(field: &str) -> String {
    format!("\"{}\"", field.replace('"', "\"\""))
}

proptest! {
    #[test]
    fn how_a_file_is_cut_makes_no_difference(file in file(), cuts in vec(any::<usize>(), 0..12)) {
        for format in [ImportFormat::Csv, ImportFormat::JsonLines] {
            prop_assert_eq!(read(format, &file, &cuts), read(format, &file, &[]));
        }
    }

    #[test]
    fn rows_that_are_written_by_the_standard_are_read_back(
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
            csv.push_str(&format!("{field},{id},{SHOP}{end}"));
            let object = serde_json::json!({ "label": label, "device_id": id.as_str(), "merchant_id": SHOP });
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
