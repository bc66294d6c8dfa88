//! Tests of the row parser for both formats.

use pos_domain::fleet::RowRefusal;
use pos_domain::shared::{LocationId, MerchantId};
use uuid::Uuid;

use super::*;

const MERCHANT: &str = "0b8f4d2e-7c1a-4e55-9d0f-2a6b1c3d4e5f";
const LOCATION: &str = "5a1d7c60-1f0e-4c55-8b1e-9f1f6a1f2b3c";

fn read_in_chunks(format: ImportFormat, file: &[u8], size: usize) -> Result<Vec<ReadRow>, FileFault> {
    let (mut parser, mut rows) = (Box::new(FileParser::new(format)), Vec::new());
    for chunk in file.chunks(size) {
        parser.feed(chunk, &mut rows)?;
    }
    parser.finish(&mut rows)?;
    Ok(rows)
}

/// Parses a file as a whole and in chunks of several sizes, and checks that the results are equal.
fn read(format: ImportFormat, file: impl AsRef<[u8]>) -> Result<Vec<ReadRow>, FileFault> {
    let file = file.as_ref();
    let whole = read_in_chunks(format, file, usize::MAX);
    for size in [1, 2, 3, 7, 4_095, 4_096, 4_097] {
        assert_eq!(read_in_chunks(format, file, size), whole, "in chunks of {size}");
    }
    whole
}

fn csv(file: impl AsRef<[u8]>) -> Vec<ReadRow> {
    read(ImportFormat::Csv, file).unwrap()
}

fn json(file: impl AsRef<[u8]>) -> Vec<ReadRow> {
    read(ImportFormat::JsonLines, file).unwrap()
}

/// The id and the label of each row, or its refusal code and the id of the refused row.
fn summary(rows: &[ReadRow]) -> Vec<(String, String)> {
    let text = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
    rows.iter()
        .map(|row| match row {
            Ok(device) => (device.id.to_string(), text(device.details.label.as_ref().map(ToString::to_string))),
            Err(unread) => (unread.refusal.word().to_owned(), text(unread.device_id.as_ref().map(ToString::to_string))),
        })
        .collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(one, other)| ((*one).to_owned(), (*other).to_owned())).collect()
}

fn message(row: &ReadRow) -> String {
    row.as_ref().expect_err("a refused row").refusal.to_string()
}

#[test]
fn columns_may_be_in_any_order_and_optional_ones_omitted() {
    let rows = csv(format!(
        "label,merchant_id,location_id,device_id\nBar,{MERCHANT},{LOCATION},POS-00000001\n,{MERCHANT},,POS-00000002\n"
    ));
    assert_eq!(summary(&rows), pairs(&[("POS-00000001", "Bar"), ("POS-00000002", "-")]));
    let first = rows[0].as_ref().unwrap();
    assert_eq!(first.merchant_id, MerchantId(MERCHANT.parse().unwrap()));
    assert_eq!(first.details.location_id, Some(LocationId(LOCATION.parse::<Uuid>().unwrap())));
    assert_eq!(rows[1].as_ref().unwrap().details.location_id, None);
    let rows = csv(format!("device_id,merchant_id\nPOS-00000001,{MERCHANT}"));
    assert_eq!(summary(&rows), pairs(&[("POS-00000001", "-")]), "the last line may have no line end");
}

#[test]
fn quotes_line_ends_and_a_byte_order_mark_follow_the_standard() {
    let file = format!(
        "\u{FEFF}device_id,merchant_id,label\r\n\"POS-00000001\",{MERCHANT},\"Bar, \"\"left\"\"\"\r\n\r\nPOS-00000002,{MERCHANT},Kasse № 2\r\n"
    );
    assert_eq!(summary(&csv(file)), pairs(&[("POS-00000001", "Bar, \"left\""), ("POS-00000002", "Kasse № 2")]));
}

#[test]
fn a_line_break_ends_a_row_even_inside_quotes() {
    for end in ["\n", "\r\n", "\r"] {
        let rows = csv(format!(
            "device_id,merchant_id,label{end}POS-00000001,{MERCHANT},\"two{end}lines\"{end}POS-00000002,{MERCHANT},b{end}"
        ));
        assert_eq!(summary(&rows), pairs(&[("malformed", "-"), ("malformed", "-"), ("POS-00000002", "b")]));
        assert!(message(&rows[0]).contains("a quote is not closed"), "{rows:?}");
    }
    // The line, the file, or the longest row ends inside the quotes.
    for open in [
        "\"Till".to_owned(),
        format!("\"{}", "x".repeat(4_040)),
        format!("\"{}", "x".repeat(4_097)),
        "a,b,\"".to_owned(),
    ] {
        let good = format!("POS-00000009,{MERCHANT},ok\n");
        let file = format!("device_id,merchant_id,label\n{good}POS-00000001,{MERCHANT},{open}\n{}", good.repeat(200));
        let rows = csv(&file);
        assert_eq!(rows.len(), 202);
        let refused: Vec<_> = rows.iter().enumerate().filter(|(_, row)| row.is_err()).collect();
        assert!(
            matches!(refused[..], [(1, row)] if row.as_ref().is_err_and(|row| row.refusal.word() == "malformed")),
            "{refused:?}"
        );
        let rows = csv(file.split_once(&format!("{open}\n")).unwrap().0.to_owned() + &open);
        assert_eq!(summary(&rows), pairs(&[("POS-00000009", "ok"), ("malformed", "-")]));
    }
}

#[test]
fn a_row_with_only_blank_fields_is_ignored() {
    let row = |number: u32| format!("POS-0000000{number},{MERCHANT},ok\n");
    let separators = ",".repeat(9_000);
    let blanks = ["", ",", ",,", " , ,\t", "\"\",\"  \",", "\u{a0},,", ",,,,,,,,,", &",".repeat(100), &separators];
    for end in ["\n", "\r\n", "\r"] {
        for blank in blanks {
            let file = format!(
                "{blank}{end}device_id,merchant_id,label{end}{blank}{end}{}{blank}{end}{}{blank}{end}{blank}",
                row(1),
                row(2)
            );
            assert_eq!(summary(&csv(file)), pairs(&[("POS-00000001", "ok"), ("POS-00000002", "ok")]), "{blank:?}");
        }
    }
    for full in [",,x", "\"\"\"\",,", ",\",\",", "\u{feff},,", &format!("{separators}x")] {
        let rows = csv(format!("device_id,merchant_id,label\n{}{full}\n{}", row(1), row(2)));
        assert_eq!(rows.len(), 3, "{full:?}");
        assert!(rows[1].is_err());
    }
    let line = |number: u32| format!("{{\"device_id\":\"POS-0000000{number}\",\"merchant_id\":\"{MERCHANT}\"}}\n");
    let blanks = [
        "",
        " \t",
        "\u{a0}",
        &" ".repeat(9_000),
        "{\"device_id\":\"\",\"merchant_id\":\" \",\"label\":\"\",\"location_id\":null}",
    ];
    for blank in blanks {
        let rows = json(format!("{blank}\n{}{blank}\r\n{}{blank}\n{blank}", line(1), line(2)));
        assert_eq!(summary(&rows), pairs(&[("POS-00000001", "-"), ("POS-00000002", "-")]), "{blank:?}");
    }
    assert_eq!(json("{\"device_id\":\"\",\"merchant_id\":\"\",\"label\":\"x\"}").len(), 1);
}

#[test]
fn an_invalid_header_line_refuses_the_file() {
    let long = format!("device_id,{}\n", "x".repeat(5_000));
    for (file, fault) in [
        (&b""[..], FileFault::NoHeader),
        (b"\xEF\xBB\xBF", FileFault::NoHeader),
        (b"\r\n\n", FileFault::NoHeader),
        (b"device_id,merchant_id,Label\n", FileFault::UnknownColumn("Label".to_owned())),
        (b"device_id,merchant_id,label,label\n", FileFault::RepeatedColumn("label")),
        (b"merchant_id,label\n", FileFault::MissingColumn("device_id")),
        (b"device_id\n", FileFault::MissingColumn("merchant_id")),
        (b"device_id,merchant_id,\xFF\n", FileFault::HeaderNotUtf8),
        (b"device_id,merchant_id,\"label\nPOS-00000001,x,y\n", FileFault::HeaderQuote),
        (b",,\n , \n", FileFault::NoHeader),
        (long.as_bytes(), FileFault::HeaderTooLong),
    ] {
        assert_eq!(read(ImportFormat::Csv, file), Err(fault));
    }
    assert_eq!(csv("device_id,merchant_id\n"), []);
}

#[test]
fn an_invalid_csv_row_does_not_affect_other_rows() {
    let good = format!("POS-00000009,{MERCHANT},ok\n");
    let mut file = b"device_id,merchant_id,label\n".to_vec();
    let wrong: [&[u8]; 8] = [
        b"POS-00000001\n",
        b"POS-00000001,x,y,z\n",
        b"POS-00000001,\xFF,\n",
        b"pos-1,x,\n",
        b"POS-0000000g,x,\n",
        b"POS-00000001,x,\n",
        b",,x\n",
        b"a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,s,t,u,v,w,x,y,z,a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,s,t,u,v,w,x,y,z,\
          a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,s,t,u,v,w,x,y,z,a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,s,t,u,v,w,x,y,z\n",
    ];
    for row in wrong {
        file.extend_from_slice(row);
        file.extend_from_slice(good.as_bytes());
    }
    let rows = csv(&file);
    let refused: Vec<_> = rows.iter().step_by(2).cloned().collect();
    let expected = [
        ("malformed", "-"),
        ("malformed", "-"),
        ("malformed", "-"),
        ("invalid_device_id", "-"),
        ("invalid_device_id", "POS-0000000g"),
        ("invalid_merchant_id", "POS-00000001"),
        ("invalid_device_id", "-"),
        ("malformed", "-"),
    ];
    assert_eq!(summary(&refused), pairs(&expected));
    assert_eq!(message(&refused[0]), "the row has 1 fields, but the header line has 3");
    assert_eq!(message(&refused[2]), "the row is not UTF-8");
    assert_eq!(message(&refused[7]), "the row has more than 64 fields");
    let fine: Vec<_> = rows.iter().skip(1).step_by(2).cloned().collect();
    assert_eq!(summary(&fine), pairs(&[("POS-00000009", "ok"); 8]));
}

#[test]
fn a_row_that_is_too_long_is_refused_and_skipped() {
    let good = format!("POS-00000009,{MERCHANT},ok\n");
    let fits = "x".repeat(200);
    for (label, refused) in
        [(fits.as_str(), None), (&"x".repeat(4_097), Some("malformed")), (&"x".repeat(1_000_000), Some("malformed"))]
    {
        let rows = csv(format!("device_id,merchant_id,label\nPOS-00000001,{MERCHANT},{label}\n{good}"));
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[0].as_ref().err().map(|unread| unread.refusal.word()), refused);
        assert!(rows[1].is_ok(), "{rows:?}");
    }
}

#[test]
fn each_json_line_is_a_device() {
    let file = format!(
        "\u{FEFF}{{\"device_id\":\"POS-00000001\",\"merchant_id\":\"{MERCHANT}\",\"label\":\"K\\u00e9\"}}\r\n\n  \n{{\"label\":null,\"merchant_id\":\"{MERCHANT}\",\"device_id\":\"POS-00000002\"}}"
    );
    assert_eq!(summary(&json(file)), pairs(&[("POS-00000001", "Ké"), ("POS-00000002", "-")]));
    assert_eq!(json(""), []);
    assert_eq!(json("\n\r\n"), []);
}

#[test]
fn an_invalid_json_line_does_not_affect_other_lines() {
    let ids = format!("\"device_id\":\"POS-00000001\",\"merchant_id\":\"{MERCHANT}\"");
    let long = format!("{{{ids},\"label\":\"{}\"}}", "x".repeat(4_096));
    let cases = [
        ("{", "EOF while parsing an object at column 1".to_owned(), "malformed"),
        ("[]", "the row is not a JSON object".to_owned(), "malformed"),
        ("POS-00000001", "the row is not a JSON object".to_owned(), "malformed"),
        ("{}", "missing field `device_id` at column 2".to_owned(), "malformed"),
        (&format!("{{{ids},\"lable\":\"x\"}}"), "unknown field `lable`".to_owned(), "malformed"),
        (&format!("{{{ids},\"label\":7}}"), "invalid type".to_owned(), "malformed"),
        (&format!("{{{ids},{ids}}}"), "duplicate field".to_owned(), "malformed"),
        (&format!("{{{ids}}} {{}}"), "trailing characters".to_owned(), "malformed"),
        (&long, "the row is longer than 4096 bytes".to_owned(), "malformed"),
        (&format!("{{{ids},\"label\":\"\"}}"), "label must have".to_owned(), "invalid_label"),
        (&format!("{{{ids},\"location_id\":\"\"}}"), "location_id must be".to_owned(), "invalid_location_id"),
    ];
    for (line, message, word) in &cases {
        let rows = json(format!("{line}\n{{{ids}}}\n"));
        let refusal = &rows[0].as_ref().expect_err("a refused row").refusal;
        assert!(refusal.to_string().starts_with(message.as_str()), "{line}: {refusal}");
        assert_eq!(refusal.word(), *word);
        assert!(rows.len() == 2 && rows[1].is_ok(), "{line}");
    }
    let bytes = [b"{\"device_id\":\"\xFF\"}\n".as_slice(), format!("{{{ids}}}").as_bytes()].concat();
    let rows = json(bytes);
    assert_eq!(message(&rows[0]), "the row is not UTF-8");
    assert!(rows[1].is_ok());
}

#[test]
fn a_refused_row_shows_its_device_id_only_if_it_is_valid() {
    let rows = csv(format!(
        "device_id,merchant_id\nPOS-é,{MERCHANT}\nPOS-{},{MERCHANT}\nPOS-\u{b}1,{MERCHANT}\nPOS-00000001,{}\n",
        "x".repeat(99),
        MERCHANT.replace('-', "")
    ));
    let expected = [
        ("invalid_device_id", "-"),
        ("invalid_device_id", "-"),
        ("invalid_device_id", "-"),
        ("invalid_merchant_id", "POS-00000001"),
    ];
    assert_eq!(summary(&rows), pairs(&expected));
    assert_eq!(rows[3].as_ref().expect_err("refused").refusal, RowRefusal::InvalidMerchantId);
}
