use std::sync::atomic::{AtomicUsize, Ordering};

use pos_terminal::{Sent, WireLog};

/// Tells the story on standard output.
#[derive(Default)]
pub(super) struct Narrator {
    steps: AtomicUsize,
}

impl Narrator {
    pub(super) fn step(&self, title: &str) {
        let number = self.steps.fetch_add(1, Ordering::Relaxed) + 1;
        println!("\n{number}. {title}\n");
    }

    pub(super) fn say(&self, text: &str) {
        println!("   {text}");
    }

    pub(super) fn screen(&self, code: &str) {
        let spaced = code.chars().map(String::from).collect::<Vec<_>>().join(" ");
        println!("\n      ╭───────────────────────╮");
        println!("      │  Type this code in    │");
        println!("      │  your back office:    │");
        println!("      │                       │");
        println!("      │      {spaced}      │");
        println!("      │                       │");
        println!("      ╰───────────────────────╯");
    }

    /// A request as it went out and its answer, for a reader: no transport headers, JSON on one line.
    pub(super) fn wire(&self, sent: &Sent, request_body: Option<&str>, http_status: u16, body: &str) {
        let path = sent.url.splitn(4, '/').nth(3).unwrap_or_default();
        println!("   → {} /{path}", sent.method);
        let shown = ["x-device-id", "user-agent", "x-client-type", "authorization", "content-type"];
        for (name, value) in sent.headers.iter().filter(|(name, _)| shown.contains(&name.as_str())) {
            println!("     {name}: {value}");
        }
        if let Some(line) = request_body {
            println!("     {line}");
        }
        println!("   ← {http_status} {body}");
    }
}

impl WireLog for Narrator {
    fn exchange(&self, sent: &Sent, http_status: u16, body: &str) {
        self.wire(sent, None, http_status, body);
    }
}
