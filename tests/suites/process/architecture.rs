//! Dependency rules of crates and contexts.
//!
//! Crates: server → adapters → application → ports → domain. No adapter crate depends on another; the storage and identity
//! adapters do not depend on the application. Contexts: the folders of the same names in every layer.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

const PORTS: [&str; 4] = ["pos-domain", "pos-port-clock", "pos-port-identity", "pos-port-storage"];

/// The workspace crates that each crate may depend on. Test and benchmark crates may depend on any.
fn allowed_dependencies() -> BTreeMap<&'static str, Vec<&'static str>> {
    let with = |more: &[&'static str]| PORTS.iter().copied().chain(more.iter().copied()).collect::<Vec<_>>();
    BTreeMap::from([
        ("pos-domain", vec![]),
        ("pos-port-clock", vec![]),
        ("pos-port-identity", vec!["pos-domain"]),
        ("pos-port-storage", vec!["pos-domain"]),
        ("pos-application", with(&[])),
        ("pos-adapter-clock", vec!["pos-port-clock"]),
        ("pos-adapter-http", with(&["pos-application"])),
        ("pos-adapter-identity", vec!["pos-domain", "pos-port-clock", "pos-port-identity"]),
        ("pos-adapter-import", vec!["pos-domain", "pos-port-storage", "pos-application"]),
        ("pos-adapter-storage", vec!["pos-domain", "pos-port-storage"]),
        (
            "pos-adapters",
            vec![
                "pos-adapter-clock",
                "pos-adapter-http",
                "pos-adapter-identity",
                "pos-adapter-import",
                "pos-adapter-storage",
            ],
        ),
        ("pos-terminal", vec!["pos-domain", "pos-port-clock"]),
        ("pos-dev-idp", vec!["pos-port-clock"]),
        ("pos-server", with(&["pos-application", "pos-adapters", "pos-terminal", "pos-dev-idp"])),
    ])
}

/// The contexts that each context may use. `shared` and `support` are no contexts: each may use them. The HTTP adapter's
/// `operations` holds health and metrics.
const ALLOWED: [(&str, &[&str]); 6] = [
    ("audit", &["device"]),
    ("device", &[]),
    ("tenancy", &["audit"]),
    ("pairing", &["device", "tenancy", "audit"]),
    ("fleet", &["device", "tenancy", "audit"]),
    ("operations", &[]),
];

/// Folders whose subfolders are contexts, with the module path of each folder in its own crate.
const LAYERS: [(&str, &str); 6] = [
    ("crates/domain/src", "crate::"),
    ("crates/ports/storage/src", "crate::"),
    ("crates/application/src", "crate::"),
    ("crates/adapters/http/src/api", "crate::api::"),
    ("crates/adapters/storage/src/postgres", "crate::postgres::"),
    ("crates/adapters/storage/src/sqlite", "crate::sqlite::"),
];

/// Paths of other modules whose next segment may be a context, in any layer.
const PREFIXES: [&str; 3] = ["pos_domain::", "pos_port_storage::", "pos_application::"];

/// External crates that the domain may depend on: no I/O, no async, no wire format. Digests of the hash chain are pure.
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

fn dependencies(package: &Value) -> BTreeSet<String> {
    let dependencies = package["dependencies"].as_array().unwrap();
    let built = dependencies.iter().filter(|dependency| dependency["kind"] != "dev");
    built.map(|dependency| dependency["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn crates_depend_only_on_the_layers_below() {
    let (packages, allowed) = (packages(), allowed_dependencies());
    let ours: BTreeSet<&str> = packages.iter().map(|package| package["name"].as_str().unwrap()).collect();
    let mut wrong = Vec::new();
    for package in &packages {
        let name = package["name"].as_str().unwrap();
        if ["pos-tests", "pos-bench", "pos-chaos"].contains(&name) {
            continue;
        }
        let allowed = allowed.get(name).unwrap_or_else(|| panic!("{name} is missing from allowed_dependencies"));
        let needed = dependencies(package).into_iter().filter(|needed| ours.contains(needed.as_str()));
        wrong.extend(needed.filter(|needed| !allowed.contains(&needed.as_str())).map(|to| format!("{name} → {to}")));
    }
    assert!(wrong.is_empty(), "dependencies that are not allowed: {}", wrong.join(", "));
    assert!(allowed.keys().all(|name| ours.contains(name)), "allowed_dependencies names a crate that does not exist");
}

#[test]
fn the_domain_depends_on_pure_libraries_only() {
    let packages = packages();
    let domain = packages.iter().find(|package| package["name"] == "pos-domain").unwrap();
    let other: Vec<_> =
        dependencies(domain).into_iter().filter(|needed| !DOMAIN_LIBRARIES.contains(&needed.as_str())).collect();
    assert!(other.is_empty(), "pos-domain is pure, and depends on {other:?}");
}

#[test]
fn contexts_use_only_allowed_contexts() {
    let mut wrong = Vec::new();
    let mut read = 0;
    for (layer, own) in LAYERS {
        for (context, allowed) in ALLOWED {
            let folder = root().join(layer);
            for file in sources(&folder.join(context)) {
                read += 1;
                let text = fs::read_to_string(&file).unwrap();
                let used = contexts_in(&text, own, depth(file.strip_prefix(&folder).unwrap()));
                let other = used.into_iter().filter(|used| *used != context && !allowed.contains(used));
                wrong.extend(
                    other.map(|used| format!("{}: {context} → {used}", file.strip_prefix(root()).unwrap().display())),
                );
            }
        }
    }
    assert!(read > 100, "only {read} files were read: LAYERS names folders that do not exist");
    assert!(wrong.is_empty(), "contexts that are not allowed:\n{}", wrong.join("\n"));
}

#[test]
fn every_context_folder_is_in_the_table() {
    for (layer, _) in &LAYERS[..4] {
        let folders = fs::read_dir(root().join(layer)).unwrap().map(|entry| entry.unwrap());
        let unknown: Vec<_> = folders
            .filter(|entry| entry.file_type().unwrap().is_dir())
            .map(|entry| entry.file_name().into_string().unwrap())
            .filter(|name| !["shared", "support", "test_support", "in_memory", "suite"].contains(&name.as_str()))
            .filter(|name| !ALLOWED.iter().any(|(context, _)| context == name))
            .collect();
        assert!(unknown.is_empty(), "{layer} has folders that are not in ALLOWED: {unknown:?}");
    }
}

#[test]
fn uses_of_other_contexts_are_detected() {
    let text = "use crate::api::tenancy::Role;\nuse pos_domain::{device::Device, shared::{fleet::X}};\n\
                // crate::api::fleet::X\nlet x = super::super::pairing::y();\nuse super::audit::Z;";
    assert_eq!(contexts_in(text, "crate::api::", 2), BTreeSet::from(["tenancy", "device", "pairing"]));
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut found = Vec::new();
    for path in entries.map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The number of `super::` that lead from a file's module to the layer.
fn depth(file_in_layer: &Path) -> usize {
    let segments = file_in_layer.components().count();
    if file_in_layer.ends_with("mod.rs") { segments - 1 } else { segments }
}

/// The contexts that a source names in its paths. Comment lines are ignored.
fn contexts_in(text: &str, own: &str, depth: usize) -> BTreeSet<&'static str> {
    let code: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let code = code.join("\n");
    let relative = "super::".repeat(depth);
    let mut used = BTreeSet::new();
    for prefix in PREFIXES.into_iter().chain([own, &relative]) {
        for (at, _) in code.match_indices(prefix) {
            let before = code[..at].chars().next_back();
            if before.is_some_and(|before| before.is_alphanumeric() || before == ':' || before == '_') {
                continue;
            }
            let names = first_segments(&code[at + prefix.len()..]);
            let contexts = ALLOWED.iter().map(|(context, _)| *context);
            used.extend(contexts.filter(|context| names.contains(context)));
        }
    }
    used
}

/// The next segment of a path, or the first segment of each branch of a use tree: `{a::b, c::{d, e}}` gives `a` and `c`.
fn first_segments(rest: &str) -> Vec<&str> {
    let Some(tree) = rest.strip_prefix('{') else { return vec![identifier(rest)] };
    let (mut open, mut begin, mut found) = (1, 0, Vec::new());
    for (at, character) in tree.char_indices() {
        match character {
            '{' => open += 1,
            '}' => open -= 1,
            _ => {}
        }
        if open == 0 || (open == 1 && character == ',') {
            found.push(identifier(tree[begin..at].trim_start()));
            begin = at + 1;
        }
        if open == 0 {
            break;
        }
    }
    found
}

fn identifier(text: &str) -> &str {
    text.split(|character: char| !character.is_alphanumeric() && character != '_').next().unwrap_or_default()
}
