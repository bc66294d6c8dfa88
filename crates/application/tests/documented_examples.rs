//! Equality of the code in the documents with the examples that it is taken from.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "all of this is tests")]

use std::fs;
use std::path::{Path, PathBuf};

const BEGIN: &str = "// example:begin\n";
const END: &str = "// example:end\n";

fn workspace(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

/// Sections of an example between its markers.
fn sections_of_example(path: &str) -> Vec<String> {
    let source = fs::read_to_string(workspace(path)).unwrap();
    let sections = source.split(BEGIN).skip(1);
    sections.map(|section| section.split_once(END).expect("every begin has an end").0.to_owned()).collect()
}

/// Code blocks of a document that follow `<!-- example: PATH -->`, in order, without the indentation of the marker.
fn blocks_of_document(document: &str, path: &str) -> Vec<String> {
    let marker = format!("<!-- example: {path} -->");
    let mut lines = document.lines();
    let mut blocks = Vec::new();
    while let Some(line) = lines.find(|line| line.trim_start() == marker) {
        let indentation = line.strip_suffix(&marker).unwrap();
        let mut code = lines.by_ref().map(|line| line.strip_prefix(indentation).unwrap_or(line));
        assert_eq!((code.next(), code.next()), (Some(""), Some("```rust")), "after {marker}");
        blocks.push(code.take_while(|line| *line != "```").map(|line| format!("{line}\n")).collect());
    }
    blocks
}

#[test]
fn the_guide_includes_the_examples_as_they_are_compiled() {
    let document = fs::read_to_string(workspace("docs/extending.md")).unwrap();
    let mut included = 0;
    for example in ["fake_repository", "new_use_case"] {
        let path = format!("crates/application/examples/{example}.rs");
        let blocks = blocks_of_document(&document, &path);
        assert!(!blocks.is_empty(), "docs/extending.md includes nothing of {path}");
        assert_eq!(blocks, sections_of_example(&path), "docs/extending.md differs from {path}");
        included += blocks.len();
    }
    let rust_blocks = document.matches("```rust").count();
    assert_eq!(rust_blocks, included, "a Rust block of docs/extending.md is not included from an example");
}
