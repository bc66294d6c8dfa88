//! Tests of the builder's validation.

use super::terminal_builder;
use crate::{InvalidTerminal, Terminal};

#[test]
fn valid_parts_build_a_terminal() {
    let terminal = terminal_builder("https://api.viopay.io/v1").build().unwrap();
    assert_eq!(
        format!("{terminal:?}"),
        "Terminal { base_url: \"https://api.viopay.io/v1/\", device_id: DeviceId(\"POS-8F3A2C91\"), \
         user_agent: \"Viopay-POS/1.4.2 (Android 12; PAX-A920)\", .. }"
    );
}

#[test]
fn each_invalid_part_is_named_in_the_error() {
    let url = "https://api.viopay.io";
    let long = "x".repeat(65);
    let cases = [
        (terminal_builder(""), "base URL"),
        (terminal_builder("api.viopay.io"), "base URL"),
        (terminal_builder("ftp://api.viopay.io"), "base URL"),
        (terminal_builder("https://user:word@api.viopay.io"), "base URL"),
        (terminal_builder("https://api.viopay.io/?a=b"), "base URL"),
        (terminal_builder("https://api.viopay.io/#a"), "base URL"),
        (Terminal::builder(url, "8F3A2C91").app_version("1").os("a").model("b"), "device id must start with POS-"),
        (terminal_builder(url).app_version("new"), "app version"),
        (Terminal::builder(url, "POS-1").os("a").model("b"), "app version"),
        (terminal_builder(url).os(""), "operating system"),
        (terminal_builder(url).os(&long), "operating system"),
        (terminal_builder(url).os("Android 12 "), "operating system"),
        (terminal_builder(url).os("Android\r\nX: y"), "operating system"),
        (terminal_builder(url).model("PAX (A920)"), "model"),
        (terminal_builder(url).model("PAX; A920"), "model"),
        (terminal_builder(url).model("Käse"), "model"),
    ];
    for (builder, expected) in cases {
        let error: InvalidTerminal = builder.build().unwrap_err();
        assert!(error.to_string().contains(expected), "{error} should name the {expected}");
    }
}
