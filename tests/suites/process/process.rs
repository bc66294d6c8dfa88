//! A `pos-server serve` process for tests.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::program;

/// A running `pos-server serve`, killed when dropped.
pub(crate) struct Serving {
    child: Child,
    log: PathBuf,
    pub(crate) address: String,
}

impl Serving {
    /// Starts it and waits until it has written its address.
    pub(crate) fn start(folder: &Path, variables: &[(&str, &str)]) -> Self {
        let log = fs::File::create(folder.join("log")).unwrap();
        Self::start_logging_to(log, folder, variables)
    }

    /// Like [`Self::start`], with another standard error.
    pub(crate) fn start_logging_to(stderr: impl Into<Stdio>, folder: &Path, variables: &[(&str, &str)]) -> Self {
        Self::start_as(program(folder), stderr, folder, variables)
    }

    /// Starts it through a program that executes it, such as a shell.
    pub(crate) fn start_through(words: &[&str], folder: &Path) -> Self {
        let server = program(folder);
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).arg(server.get_program()).current_dir(folder);
        for (name, value) in server.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        Self::start_as(command, fs::File::create(folder.join("log")).unwrap(), folder, &[])
    }

    fn start_as(mut command: Command, stderr: impl Into<Stdio>, folder: &Path, variables: &[(&str, &str)]) -> Self {
        let (port_file, log) = (folder.join("address"), folder.join("log"));
        let _ = fs::remove_file(&port_file);
        let child = command
            .args(["serve", "--port-file"])
            .arg(&port_file)
            .env("POS__HTTP__BIND", "127.0.0.1:0")
            .env("POS__IDENTITY__ISSUER", "http://127.0.0.1:9/realms/nobody")
            .env("POS__IDENTITY__AUDIENCE", "pos-activation")
            .env("POS__LOG__FORMAT", "json")
            .envs(variables.iter().copied())
            .stderr(stderr)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut serving = Self { child, log, address: String::new() };
        serving.address = serving.wait_for(|_| fs::read_to_string(&port_file).ok()).trim().to_owned();
        serving
    }

    /// Waits until `condition` returns something, while the process runs.
    pub(crate) fn wait_for<T>(&mut self, mut condition: impl FnMut(&Self) -> Option<T>) -> T {
        for _ in 0..3_000 {
            if let Some(found) = condition(self) {
                return found;
            }
            if let Some(status) = self.child.try_wait().unwrap() {
                return condition(self).unwrap_or_else(|| panic!("it ended with {status}: {}", self.log()));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("the condition was not met in time: {}", self.log())
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_else(|_| "its log is elsewhere".to_owned())
    }

    pub(crate) fn signal(&self, name: &str) {
        let sent = std::process::Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status();
        assert!(sent.unwrap().success());
    }

    /// Waits until the process has exited.
    pub(crate) fn exit(&mut self) -> std::process::ExitStatus {
        for _ in 0..3_000 {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("it does not end: {}", self.log())
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream
    }

    /// Sends a request with these headers and no body, and reads the whole response.
    pub(crate) fn ask(&self, line: &str, headers: &[(&str, &str)]) -> String {
        let mut stream = self.connect();
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        write!(stream, "{line} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{headers}\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    pub(crate) fn terminal(&self, line: &str, device_id: &str, more: &[(&str, &str)]) -> String {
        let mut headers = vec![
            ("X-Device-Id", device_id),
            ("User-Agent", "Viopay-POS/1.4.2 (Android 12; PAX-A920)"),
            ("X-Client-Type", "pos"),
        ];
        headers.extend(more);
        self.ask(line, &headers)
    }

    /// Claims with a bearer token, and reads the whole response.
    pub(crate) fn claim(&self, token: &str, code: &str) -> String {
        self.post("/pos/claim", token, &serde_json::json!({ "pairing_code": code }))
    }

    /// Initiates the session of a token.
    pub(crate) fn initiate(&self, token: &str) -> String {
        self.post("/session/initiate", token, &serde_json::json!({ "host": "merchant.viopay.io" }))
    }

    fn post(&self, path: &str, token: &str, body: &serde_json::Value) -> String {
        let body = body.to_string();
        let mut stream = self.connect();
        write!(
            stream,
            "POST {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\nAuthorization: Bearer {token}\r\nContent-Type: \
             application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
