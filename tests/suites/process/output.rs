//! Tests of a standard output that is closed or cannot be written.

use std::fs::File;
use std::path::Path;
use std::process::{Output, Stdio};

use crate::{MERCHANT, program, run, text};

/// Exit status of a process that SIGPIPE ended, as a shell reports it.
const CLOSED: i32 = 141;

/// A folder with a merchant, some devices and an API client.
fn populated() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [
        &["merchant", "add", "--name", "Corner Shop", "--id", MERCHANT][..],
        &["device", "add", "--merchant", MERCHANT, "--count", "3"],
        &["device", "add", "--merchant", MERCHANT, "--device-id", "POS-8F3A2C91"],
        &["client", "add", "--merchant", MERCHANT, "--role", "admin", "--id", "shop-api"],
    ] {
        let done = run(folder.path(), arguments);
        assert!(done.status.success(), "{done:?}");
    }
    std::fs::write(folder.path().join("bad.csv"), format!("device_id,merchant_id\nPOS-8F3A2C91,{MERCHANT}\n")).unwrap();
    folder
}

fn run_into(stdout: impl Into<Stdio>, folder: &Path, arguments: &[&str]) -> Output {
    let mut command = program(folder);
    command.env("POS__IDENTITY__ISSUER", "https://login.example.com").env("POS__IDENTITY__AUDIENCE", "pos");
    command.args(arguments).stdout(stdout).stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap()
}

fn run_closed(folder: &Path, arguments: &[&str]) -> Output {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    run_into(writer, folder, arguments)
}

fn run_full(folder: &Path, arguments: &[&str]) -> Output {
    run_into(File::options().write(true).open("/dev/full").unwrap(), folder, arguments)
}

/// Every command that prints and ends, and those that continue after printing.
const COMMANDS: &[&[&str]] = &[
    &["--help"],
    &["--version"],
    &["device", "add", "--help"],
    &["check-config"],
    &["migrate"],
    &["device", "list"],
    &["device", "list", "--json"],
    &["device", "show", "POS-8F3A2C91"],
    &["device", "show", "POS-8F3A2C91", "--json"],
    &["device", "edit", "POS-8F3A2C91", "--label", "Till 1"],
    &["device", "add", "--merchant", MERCHANT],
    &["device", "add", "--merchant", MERCHANT, "--count", "2"],
    &["device", "import", "bad.csv"],
    &["device", "import", "bad.csv", "--json"],
    &["reseller", "add", "--name", "Northern Terminals"],
    &["reseller", "list"],
    &["merchant", "add", "--name", "Bakery"],
    &["merchant", "rename", MERCHANT, "--name", "Shop"],
    &["merchant", "list"],
    &["location", "add", "--merchant", MERCHANT, "--name", "Market"],
    &["location", "list"],
    &["member", "add", "--user", "ann", "--merchant", MERCHANT, "--role", "admin"],
    &["member", "list"],
    &["member", "remove", "--user", "ann", "--merchant", MERCHANT],
    &["client", "list"],
    &["client", "add", "--merchant", MERCHANT, "--role", "admin"],
    &["client", "rotate", "shop-api"],
    &["client", "revoke", "shop-api"],
    &["audit", "verify"],
    &["audit", "export"],
    &["purge"],
    &["purge", "--dry-run"],
    &["device", "decommission", "POS-8F3A2C91"],
    &["dev-idp", "--bind", "127.0.0.1:0"],
    &["demo", "--once", "--bind", "127.0.0.1:0"],
    &["demo", "--bind", "127.0.0.1:0"],
];

#[test]
fn a_closed_output_ends_every_command_quietly() {
    let folder = populated();
    for arguments in COMMANDS {
        let ended = run_closed(folder.path(), arguments);
        let stderr = text(&ended.stderr);
        assert_eq!(ended.status.code(), Some(CLOSED), "{arguments:?}: {stderr}");
        assert!(!stderr.contains("panicked") && !stderr.contains("error"), "{arguments:?}: {stderr}");
    }
}

#[test]
fn an_output_that_cannot_be_written_is_an_error() {
    let folder = populated();
    for arguments in COMMANDS {
        let ended = run_full(folder.path(), arguments);
        let stderr = text(&ended.stderr);
        assert_eq!(ended.status.code(), Some(1), "{arguments:?}: {stderr}");
        let reported = stderr.contains("standard output") && stderr.contains("No space left on device");
        assert!(reported && !stderr.contains("panicked"), "{arguments:?}: {stderr}");
    }
}

#[test]
fn a_closed_error_output_stops_no_command() {
    let folder = populated();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    for (arguments, status) in [
        (&["device", "list", "--limit", "1"][..], 0),
        (&["audit", "verify"], 0),
        (&["device", "show", "POS-00000000"], 1),
        (&["fly"], 2),
    ] {
        let mut command = program(folder.path());
        let ended = command.args(arguments).stdout(Stdio::null()).stderr(writer.try_clone().unwrap()).status().unwrap();
        assert_eq!(ended.code(), Some(status), "{arguments:?}");
    }
}

/// The hashes of all client secrets, as they are stored.
fn stored_hashes(folder: &Path) -> Vec<String> {
    use diesel::connection::SimpleConnection as _;
    use diesel::prelude::*;
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = diesel::sql_types::Text)]
        hash: String,
    }
    let mut connection = SqliteConnection::establish(&folder.join("pos.db").to_string_lossy()).unwrap();
    connection.batch_execute("PRAGMA busy_timeout = 5000").unwrap();
    let rows: Vec<Row> =
        diesel::sql_query("SELECT client_id || ' ' || secret_hash AS hash FROM api_clients ORDER BY client_id")
            .load(&mut connection)
            .unwrap();
    rows.into_iter().map(|row| row.hash).collect()
}

#[test]
fn a_secret_that_cannot_be_printed_is_not_stored() {
    let folder = populated();
    let before = stored_hashes(folder.path());
    assert_eq!(before.len(), 1);
    for arguments in
        [&["client", "rotate", "shop-api"][..], &["client", "add", "--merchant", MERCHANT, "--role", "admin"]]
    {
        let full = run_full(folder.path(), arguments);
        assert!(text(&full.stderr).contains("nothing was changed"), "{full:?}");
        run_closed(folder.path(), arguments);
        assert_eq!(stored_hashes(folder.path()), before, "{arguments:?}");
    }
}

#[test]
fn a_printed_secret_that_was_not_stored_is_reported_as_not_valid() {
    let folder = populated();
    let nobody = "7d9c0a34-52b7-4b43-8a4e-4b0e0f6f9a11";
    let refused = run(folder.path(), &["client", "add", "--merchant", nobody, "--role", "admin"]);
    let stderr = text(&refused.stderr);
    assert!(!refused.status.success() && stderr.contains("not valid") && stderr.contains("no merchant"), "{refused:?}");
    // A refusal that is known in advance comes before a secret is printed.
    for arguments in [
        &["client", "add", "--merchant", MERCHANT, "--role", "admin", "--id", "shop-api"][..],
        &["client", "rotate", "nobody"],
    ] {
        let refused = run(folder.path(), arguments);
        assert!(!refused.status.success() && refused.stdout.is_empty(), "{refused:?}");
    }
    assert!(run(folder.path(), &["client", "revoke", "shop-api"]).status.success());
    let revoked = run(folder.path(), &["client", "rotate", "shop-api"]);
    assert!(!revoked.status.success() && revoked.stdout.is_empty(), "{revoked:?}");
}
