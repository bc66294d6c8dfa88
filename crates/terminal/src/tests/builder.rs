use super::described;
use crate::{InvalidTerminal, Terminal};

#[test]
fn a_full_description_makes_a_terminal() {
    let terminal = described("https://api.viopay.io/v1").build().unwrap();
    assert_eq!(
        format!("{terminal:?}"),
        "Terminal { base_url: \"https://api.viopay.io/v1/\", device_id: DeviceId(\"POS-8F3A2C91\"), \
         user_agent: \"Viopay-POS/1.4.2 (Android 12; PAX-A920)\", .. }"
    );
}

#[test]
fn every_part_that_does_not_fit_is_named() {
    let url = "https://api.viopay.io";
    let long = "x".repeat(65);
    let cases = [
        (described(""), "base URL"),
        (described("api.viopay.io"), "base URL"),
        (described("ftp://api.viopay.io"), "base URL"),
        (described("https://user:word@api.viopay.io"), "base URL"),
        (described("https://api.viopay.io/?a=b"), "base URL"),
        (described("https://api.viopay.io/#a"), "base URL"),
        (Terminal::builder(url, "8F3A2C91").app_version("1").os("a").model("b"), "device id must start with POS-"),
        (described(url).app_version("new"), "app version"),
        (Terminal::builder(url, "POS-1").os("a").model("b"), "app version"),
        (described(url).os(""), "operating system"),
        (described(url).os(&long), "operating system"),
        (described(url).os("Android 12 "), "operating system"),
        (described(url).os("Android\r\nX: y"), "operating system"),
        (described(url).model("PAX (A920)"), "model"),
        (described(url).model("PAX; A920"), "model"),
        (described(url).model("Käse"), "model"),
    ];
    for (builder, says) in cases {
        let fault: InvalidTerminal = builder.build().unwrap_err();
        assert!(fault.to_string().contains(says), "{fault} should name the {says}");
    }
}
