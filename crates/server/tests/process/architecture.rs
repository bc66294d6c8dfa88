//! Arrows run one way: server → adapters → application → ports → domain.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

/// Which of our crates each of them may need. Tests and benches stand outside and may need any.
const MAY_NEED: [(&str, &[&str]); 9] = [
    ("pos-domain", &[]),
    ("pos-port-clock", &[]),
    ("pos-port-identity", &["pos-domain"]),
    ("pos-port-storage", &["pos-domain"]),
    ("pos-application", &["pos-domain", "pos-port-clock", "pos-port-identity", "pos-port-storage"]),
    ("pos-adapters", &["pos-domain", "pos-port-clock", "pos-port-identity", "pos-port-storage", "pos-application"]),
    ("pos-terminal", &["pos-domain", "pos-port-clock"]),
    ("pos-dev-idp", &["pos-port-clock"]),
    (
        "pos-server",
        &[
            "pos-domain",
            "pos-port-clock",
            "pos-port-identity",
            "pos-port-storage",
            "pos-application",
            "pos-adapters",
            "pos-terminal",
            "pos-dev-idp",
        ],
    ),
];

/// What the pure crate may need at all: no I/O, no async, no wire format. The digests that chain events are pure too.
const DOMAIN_LIBRARIES: [&str; 5] = ["sha2", "subtle", "thiserror", "time", "uuid"];

fn packages() -> Vec<Value> {
    let metadata = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let metadata: Value = serde_json::from_slice(&metadata.stdout).unwrap();
    metadata["packages"].as_array().unwrap().clone()
}

fn needs(package: &Value) -> BTreeSet<String> {
    let dependencies = package["dependencies"].as_array().unwrap();
    let built = dependencies.iter().filter(|dependency| dependency["kind"] != "dev");
    built.map(|dependency| dependency["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn arrows_run_one_way() {
    let packages = packages();
    let ours: BTreeSet<&str> = packages.iter().map(|package| package["name"].as_str().unwrap()).collect();
    let mut wrong = Vec::new();
    for package in &packages {
        let name = package["name"].as_str().unwrap();
        if ["pos-tests", "pos-bench", "pos-chaos"].contains(&name) {
            continue;
        }
        let Some((_, allowed)) = MAY_NEED.iter().find(|(known, _)| *known == name) else {
            panic!("{name} has no place in the house: add it to MAY_NEED");
        };
        let arrows = needs(package).into_iter().filter(|needed| ours.contains(needed.as_str()));
        wrong.extend(arrows.filter(|needed| !allowed.contains(&needed.as_str())).map(|to| format!("{name} → {to}")));
    }
    assert!(wrong.is_empty(), "these arrows run the wrong way: {}", wrong.join(", "));
    assert!(MAY_NEED.iter().all(|(name, _)| ours.contains(name)), "MAY_NEED names a crate that is gone");
}

#[test]
fn the_domain_needs_next_to_nothing() {
    let packages = packages();
    let domain = packages.iter().find(|package| package["name"] == "pos-domain").unwrap();
    let unwelcome: Vec<_> =
        needs(domain).into_iter().filter(|needed| !DOMAIN_LIBRARIES.contains(&needed.as_str())).collect();
    assert!(unwelcome.is_empty(), "pos-domain is pure, and needs {unwelcome:?}");
}
