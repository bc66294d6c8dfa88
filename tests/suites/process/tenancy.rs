//! Tests of the commands for resellers, merchants, members, locations and API clients.

use std::path::Path;

use serde_json::Value;

use crate::{MERCHANT, run, text};

/// Runs a command that must succeed, and returns its standard output.
fn done(folder: &Path, arguments: &[&str]) -> String {
    let output = run(folder, arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    text(&output.stdout)
}

/// Runs a command that must fail, and returns its standard error.
fn refused(folder: &Path, arguments: &[&str]) -> String {
    let output = run(folder, arguments);
    assert!(!output.status.success(), "{arguments:?}: {output:?}");
    text(&output.stderr)
}

fn rows(folder: &Path, arguments: &[&str]) -> Vec<Value> {
    let listed = done(folder, &[arguments, &["--json"]].concat());
    listed.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_reseller_its_merchant_and_their_members_are_added() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let reseller = done(folder, &["reseller", "add", "--name", "Northern Terminals"]).trim().to_owned();
    assert_eq!(reseller.len(), 36);
    let added = run(folder, &["merchant", "add", "--name", "Corner Shop", "--reseller", &reseller, "--id", MERCHANT]);
    assert_eq!(text(&added.stdout), format!("{MERCHANT}\n"));
    assert!(text(&added.stderr).contains(&format!("next: pos-server member add --merchant {MERCHANT}")), "{added:?}");
    let again = refused(folder, &["merchant", "add", "--name", "Corner Shop", "--id", MERCHANT]);
    assert!(again.contains("exists already"), "{again}");

    let named = ["reseller", "add", "--name", "Southern Terminals", "--id", "5e11e400-0000-4000-8000-000000000002"];
    assert_eq!(done(folder, &named), "5e11e400-0000-4000-8000-000000000002\n");
    assert!(refused(folder, &named).contains("exists already; `pos-server reseller list`"));

    let merchants = rows(folder, &["merchant", "list", "--reseller", &reseller]);
    assert_eq!(
        (merchants[0]["name"].as_str(), merchants[0]["reseller_id"].as_str()),
        (Some("Corner Shop"), Some(&*reseller))
    );
    assert!(done(folder, &["reseller", "list"]).contains("Northern Terminals"));

    let member = ["--merchant", MERCHANT, "--user", "ann"];
    let add = |role| done(folder, &[&["member", "add", "--role", role][..], &member].concat());
    assert_eq!(add("admin"), format!("ann is admin of merchant {MERCHANT}\n"));
    assert!(add("admin").contains("nothing to do"));
    assert!(add("viewer").contains("was admin; its sessions there have ended"));
    let members = rows(folder, &["member", "list", "--merchant", MERCHANT]);
    assert_eq!((members.len(), members[0]["role"].as_str()), (1, Some("viewer")));
    assert_eq!(rows(folder, &["member", "list", "--reseller", &reseller]), [] as [Value; 0]);
    done(folder, &[&["member", "remove"][..], &member].concat());
    let unknown = refused(folder, &[&["member", "remove"][..], &member].concat());
    assert!(unknown.contains("no such member"), "{unknown}");
}

#[test]
fn a_clients_secret_is_shown_once() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    done(folder, &["merchant", "add", "--name", "Corner Shop", "--id", MERCHANT]);
    let made = run(folder, &["client", "add", "--merchant", MERCHANT, "--role", "operator"]);
    let printed = text(&made.stdout);
    let field = |printed: &str, name: &str| {
        printed.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{printed}")).to_owned()
    };
    let (id, secret) = (field(&printed, "client_id="), field(&printed, "client_secret="));
    assert_eq!((id.len(), secret.len()), (20, 64));
    let stderr = text(&made.stderr);
    assert!(stderr.contains("shown only now") && stderr.contains("next, at the identity provider"), "{stderr}");
    assert!(!stderr.contains(&secret));
    let rotated = done(folder, &["client", "rotate", &id]);
    assert_ne!(field(&rotated, "client_secret="), secret);
    let listed = done(folder, &["client", "list"]);
    assert!(listed.contains(&id) && listed.contains("active") && !listed.contains(&secret), "{listed}");
    let file = std::fs::read(folder.join("pos.db")).unwrap();
    let wal = std::fs::read(folder.join("pos.db-wal")).unwrap_or_default();
    let stored =
        |text: &str| file.windows(text.len()).chain(wal.windows(text.len())).any(|window| window == text.as_bytes());
    assert!(stored(&id) && !stored(&secret), "the secret is not stored");
    done(folder, &["client", "revoke", &id]);
    let clients = rows(folder, &["client", "list", "--merchant", MERCHANT]);
    assert_eq!(clients[0]["status"].as_str(), Some("revoked"));
    for again in ["rotate", "revoke"] {
        let stderr = refused(folder, &["client", again, &id]);
        assert!(stderr.contains("it is revoked") && stderr.contains("client list"), "{stderr}");
    }
}

#[test]
fn invalid_tenancy_arguments_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let nobody = "00000000-0000-4000-8000-000000000000";
    for (arguments, part) in [
        (&["reseller", "add", "--name", " "][..], "1 to 200 characters"),
        (&["merchant", "add", "--name", "x", "--reseller", nobody], "reseller list"),
        (&["member", "add", "--user", "ann", "--merchant", nobody, "--role", "admin"], "pos-server merchant add"),
        (&["member", "add", "--user", "ann", "--role", "admin"], "--merchant"),
        (
            &["member", "add", "--user", "a", "--merchant", nobody, "--reseller", nobody, "--role", "admin"],
            "cannot be used with",
        ),
        (&["member", "add", "--user", "ann", "--merchant", nobody, "--role", "owner"], "viewer, operator or admin"),
        (&["member", "add", "--user", "", "--merchant", nobody, "--role", "admin"], "1 to 255 bytes"),
        (&["client", "add", "--reseller", nobody, "--role", "admin"], "reseller list"),
        (&["client", "add", "--merchant", nobody, "--role", "admin", "--id", "a b"], "client id"),
        (&["client", "revoke", "nobody"], "client list"),
        (&["merchant", "list", "--after", "x"], "--after"),
    ] {
        let stderr = refused(folder, arguments);
        assert!(stderr.contains(part), "{arguments:?}: {stderr}");
    }
}

#[test]
fn a_device_is_edited_transferred_and_decommissioned_and_has_a_location() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let unknown = refused(folder, &["location", "add", "--merchant", MERCHANT, "--name", "High Street"]);
    assert!(unknown.contains("merchant add"), "{unknown}");
    done(folder, &["merchant", "add", "--name", "Corner Shop", "--id", MERCHANT]);
    let sister = done(folder, &["merchant", "add", "--name", "Sister Shop"]).trim().to_owned();
    let nobody = "00000000-0000-4000-8000-000000000000";

    let location =
        done(folder, &["location", "add", "--merchant", MERCHANT, "--name", "High Street"]).trim().to_owned();
    let locations = rows(folder, &["location", "list", "--merchant", MERCHANT]);
    assert_eq!(
        (locations[0]["location_id"].as_str(), locations[0]["name"].as_str()),
        (Some(&*location), Some("High Street"))
    );
    assert_eq!(rows(folder, &["location", "list", "--merchant", &sister]), [] as [Value; 0]);
    assert!(done(folder, &["location", "list"]).contains("High Street"));

    let id = done(folder, &["device", "add", "--merchant", MERCHANT]).trim().to_owned();
    let edited = done(folder, &["device", "edit", &id, "--label", "Till 2", "--location", &location]);
    assert_eq!(edited, format!("{id}: label Till 2, location {location}\n"));
    assert_eq!(done(folder, &["device", "edit", &id, "--no-location"]), format!("{id}: label Till 2, location -\n"));
    assert!(refused(folder, &["device", "edit", &id, "--location", nobody]).contains("location list"));
    for bad in [&["--label", "a", "--no-label"][..], &[], &["--label", ""]] {
        refused(folder, &[&["device", "edit", &id], bad].concat());
    }
    assert!(refused(folder, &["device", "transfer", &id, "--merchant", nobody]).contains("merchant add"));
    assert_eq!(
        done(folder, &["device", "transfer", &id, "--merchant", &sister]),
        format!("{id} belongs to merchant {sister}\n")
    );
    assert!(
        refused(folder, &["device", "transfer", &id, "--merchant", &sister])
            .contains("belongs to this merchant already")
    );
    assert_eq!(done(folder, &["device", "decommission", &id]), format!("{id} is permanently decommissioned\n"));
    assert!(refused(folder, &["device", "decommission", &id]).contains("already been decommissioned"));

    let shown: Value = serde_json::from_str(&done(folder, &["device", "show", &id, "--json"])).unwrap();
    assert_eq!((shown["status"].as_str(), shown["label"].as_str()), (Some("decommissioned"), None));
    assert!(shown["decommissioned_at"].is_string());
    let events: Vec<_> =
        shown["events"].as_array().unwrap().iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(events, ["provisioned", "updated", "updated", "transferred", "decommissioned"]);
    let trail = done(folder, &["audit", "export"]);
    assert!(trail.contains("location_added"), "{trail}");
}

#[test]
fn a_merchant_is_renamed() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    done(folder, &["merchant", "add", "--name", "Corner Shop", "--id", MERCHANT]);
    let renamed = done(folder, &["merchant", "rename", MERCHANT, "--name", "Corner Shop & Sons"]);
    assert_eq!(renamed, format!("{MERCHANT} is now named \"Corner Shop & Sons\"\n"));
    assert_eq!(rows(folder, &["merchant", "list"])[0]["name"], "Corner Shop & Sons");
    let nobody = "00000000-0000-4000-8000-000000000000";
    assert!(refused(folder, &["merchant", "rename", nobody, "--name", "x"]).contains("merchant list"));
    assert!(done(folder, &["audit", "export"]).contains("merchant_updated"));
}
