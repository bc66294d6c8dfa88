//! Tests of unusable databases: `serve` and `check-config` report them before anything is served.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::finish::Finish as _;
use crate::{program, run, text};

/// A user id that is neither root nor, most likely, the owner of any file here.
const NOBODY: u32 = 65_534;

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

/// A migrated database that belongs to another user than root. If the tests do not run as root, it belongs to their user.
fn of_another_user() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let migrated = run(folder.path(), &["migrate"]);
    assert!(migrated.status.success(), "{migrated:?}");
    if is_root() {
        chown(folder.path(), Some(NOBODY), None).unwrap();
        // Copied beside the database, because that user may have no access to the build directory.
        fs::copy(env!("CARGO_BIN_EXE_pos-server"), folder.path().join("pos-server")).unwrap();
    }
    let file = folder.path().join("pos.db");
    (folder, file)
}

/// Makes a file read-only for the user that serves.
fn protect(file: &Path) {
    if is_root() {
        chown(file, Some(0), None).unwrap();
        fs::set_permissions(file, Permissions::from_mode(0o644)).unwrap();
    } else {
        fs::set_permissions(file, Permissions::from_mode(0o444)).unwrap();
    }
}

fn make_writable(file: &Path) {
    if is_root() {
        chown(file, Some(NOBODY), None).unwrap();
    }
    fs::set_permissions(file, Permissions::from_mode(0o600)).unwrap();
}

/// Runs `serve` as that user until it fails, and returns its standard error.
fn serve_error(folder: &Path) -> String {
    let program_of_test = program(folder);
    let mut command = if is_root() { Command::new(folder.join("pos-server")) } else { program(folder) };
    command.current_dir(folder).envs(program_of_test.get_envs().filter_map(|(key, value)| Some((key, value?))));
    if is_root() {
        command.uid(NOBODY);
    }
    command
        .arg("serve")
        .env("POS__HTTP__BIND", "127.0.0.1:0")
        .env("POS__IDENTITY__ISSUER", "http://127.0.0.1:9/realms/nobody")
        .env("POS__IDENTITY__AUDIENCE", "pos-activation");
    let mut serving = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    for _ in 0..3_000 {
        if let Some(status) = serving.try_wait().unwrap() {
            assert!(!status.success());
            return text(&serving.wait_with_output().unwrap().stderr);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    serving.kill().unwrap();
    panic!("it serves: {}", text(&serving.wait_with_output().unwrap().stderr));
}

#[test]
fn an_unwritable_file_is_named_at_the_start() {
    let (folder, file) = of_another_user();
    protect(&file);
    let owner = fs::metadata(&file).unwrap().uid();
    let stderr = serve_error(folder.path());
    assert!(stderr.contains(&format!("pos.db cannot be written (it belongs to user {owner}")), "{stderr}");
    make_writable(&file);
    for beside in ["pos.db-wal", "pos.db-shm"] {
        let sidecar = folder.path().join(beside);
        fs::write(&sidecar, "").unwrap();
        protect(&sidecar);
        let stderr = serve_error(folder.path());
        assert!(stderr.contains(&format!("{beside} cannot be written")), "{stderr}");
        fs::remove_file(sidecar).unwrap();
    }
}

#[test]
fn a_database_url_is_validated_before_it_is_used() {
    let folder = tempfile::tempdir().unwrap();
    let check = |url: &str| {
        let output = program(folder.path())
            .arg("check-config")
            .env("POS__DATABASE__URL", url)
            .env("POS__IDENTITY__ISSUER", "https://login.example.com/realms/viopay")
            .env("POS__IDENTITY__AUDIENCE", "pos-activation")
            .finish();
        let stderr = text(&output.stderr);
        assert!(!stderr.contains("hunter2") && !text(&output.stdout).contains("hunter2"), "{stderr}");
        (output.status.success(), stderr)
    };
    let (valid, stderr) = check("postgres://pos:hunter2@db.example.com/pos");
    assert!(valid && stderr.contains("warning: database.url") && stderr.contains("sslmode=verify-full"), "{stderr}");
    for fine in ["postgres://pos:hunter2@db.example.com/pos?sslmode=require", "postgres://pos:hunter2@localhost/pos"] {
        assert_eq!(check(fine), (true, String::new()));
    }
    for (url, write) in [
        ("postgres://pos:hunter2@db.example.com/pos?sslmode=prefer", "sslmode=verify-full"),
        ("postgres://pos:hunter2@db.example.com/pos?sslrootcert=/ca.pem", "SSL_CERT_FILE"),
        ("postgres://pos:hunter2@db.example.com/pos?target_session_attrs=primary", "target_session_attrs=read-write"),
        ("sqlite:///var/lib/pos/pos.db?mode=ro", "sqlite:///var/lib/pos/pos.db"),
    ] {
        let (valid, stderr) = check(url);
        assert!(!valid && stderr.contains("POS__DATABASE__URL") && stderr.contains(write), "{url}: {stderr}");
    }
}
