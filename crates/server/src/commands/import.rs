use std::fs::File;
use std::io::{self, IsTerminal as _, Read};
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};
use pos_adapters::import::{ImportFormat, Receiver, row_line, totals_line};
use pos_application::{ImportOrder, ImportTotals, Mandate, Received};
use pos_domain::ImportMode;
use pos_port_clock::Clock;
use pos_port_storage::{Import, RowResult};
use time::{Duration, OffsetDateTime};

use crate::cli;
use crate::output::{Lines, note, say};
use crate::wiring::Back;

/// How much of the file is read at once, in bytes.
const PIECE: usize = 65_536;

/// How often progress is told where there is no terminal to draw on.
const EVERY: Duration = Duration::seconds(5);

/// `device import FILE`: reads the file in, imports it, prints what is refused.
pub(super) async fn run(back: &Back, how: &cli::Import) -> anyhow::Result<ExitCode> {
    let (file, size) = open(&how.file)?;
    let format = format(how)?;
    let mandate = Mandate::operator();
    let order = ImportOrder { mandate: mandate.clone(), mode: how.mode, key: how.idempotency_key.clone() };
    let upload = back.import.begin(order).await?;
    let receiver = Receiver::new(format, back.import.max_rows(), upload);
    let received = receive(receiver, file, &Progress::new(&*back.clock, "read", "bytes", size))
        .await
        .with_context(|| format!("{}: nothing was imported", how.file.display()))?;
    let progress = Progress::new(&*back.clock, "looked at", "rows", Some(received.import.rows));
    let applied = back.import.apply(&mandate, &received, &|row| progress.at(row)).await;
    let ended = applied.with_context(|| match &how.idempotency_key {
        Some(_) => "the import was cut short; run the same command again and it goes on".to_owned(),
        None => "the import was cut short; rows that were done are refused as taken when it is run again (with \
                 --idempotency-key it would go on)"
            .to_owned(),
    })?;
    progress.finish();
    let totals =
        report(back, &ended, how.json).await.context("the import is done, but not all of its report was shown")?;
    note!("{}", summary(totals, how.mode, received.replayed));
    Ok(if totals.refused == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn open(path: &Path) -> anyhow::Result<(Box<dyn Read>, Option<u64>)> {
    if path == Path::new("-") {
        return Ok((Box::new(io::stdin()), None));
    }
    let file = File::open(path).with_context(|| path.display().to_string())?;
    let size = file.metadata().ok().map(|metadata| metadata.len());
    Ok((Box::new(file), size))
}

fn format(how: &cli::Import) -> anyhow::Result<ImportFormat> {
    let by_name = || how.file.extension().and_then(|extension| ImportFormat::of_extension(extension.to_str()?));
    how.format.or_else(by_name).context("the file's name tells no format: say --format csv or --format jsonl")
}

/// A file that does not come to its end leaves nothing.
async fn receive(mut receiver: Receiver, file: Box<dyn Read>, progress: &Progress<'_>) -> anyhow::Result<Received> {
    if let Err(error) = feed(&mut receiver, file, progress).await {
        receiver.discard().await;
        return Err(error);
    }
    let received = receiver.finish().await?;
    progress.finish();
    Ok(received)
}

async fn feed(receiver: &mut Receiver, mut file: Box<dyn Read>, progress: &Progress<'_>) -> anyhow::Result<()> {
    let (mut piece, mut done) = (vec![0; PIECE], 0_u64);
    loop {
        let read = match file.read(&mut piece) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error).context("the file cannot be read on"),
        };
        let Some(bytes) = piece.get(..read).filter(|bytes| !bytes.is_empty()) else { return Ok(()) };
        receiver.feed(bytes).await?;
        done += bytes.len() as u64;
        progress.at(done);
    }
}

/// Prints the refused rows, page by page, and answers what all of them came to.
async fn report(back: &Back, ended: &Import, as_json: bool) -> anyhow::Result<ImportTotals> {
    let mut report = back.import.report(ended);
    loop {
        let page = report.next_page().await?;
        if page.is_empty() {
            break;
        }
        let mut out = Lines::new();
        for row in page.iter().filter(|row| row.outcome.is_err()) {
            if as_json {
                out.line(serde_json::to_string(&row_line(row))?)?;
            } else {
                out.line(plain(row))?;
            }
        }
        out.finish()?;
    }
    let totals = report.totals();
    if as_json {
        say!("{}", serde_json::to_string(&totals_line(totals))?)?;
    }
    Ok(totals)
}

fn plain(row: &RowResult) -> String {
    let id = row.device_id.as_ref().map_or("-", |id| id.as_str());
    let (word, why) = row.outcome.as_ref().err().map_or(("", String::new()), |why| (why.word(), why.to_string()));
    format!("row {:<8} {id:<16} {word:<20} {why}", row.number)
}

fn summary(totals: ImportTotals, mode: ImportMode, replayed: bool) -> String {
    let ImportTotals { rows, provisioned, refused } = totals;
    let again = if replayed { " (brought by an earlier run with this key)" } else { "" };
    let counts = format!("{rows} rows{again}: {provisioned} provisioned, {refused} refused");
    let next = match (refused, mode) {
        (0, _) => "next: the terminals can be started, and each asks for its pairing code",
        (_, ImportMode::AllOrNothing) => {
            "next: mend the rows above that are refused for a reason of their own, and run it again (with another key, \
             if it has one); or import what is fine with --mode best_effort"
        }
        (_, ImportMode::BestEffort) => "next: mend the rows above in a file of their own, and import that",
    };
    format!("{counts}\n{next}")
}

/// How far it is: a bar on a terminal, a line now and then elsewhere.
struct Progress<'c> {
    bar: ProgressBar,
    /// The clock, and when a line was last written; none on a terminal.
    lines: Option<(&'c dyn Clock, Mutex<OffsetDateTime>)>,
    what: &'static str,
    unit: &'static str,
}

impl<'c> Progress<'c> {
    fn new(clock: &'c dyn Clock, what: &'static str, unit: &'static str, size: Option<u64>) -> Self {
        let bar = size.map_or_else(ProgressBar::no_length, ProgressBar::new);
        let template = "{prefix:>10} {wide_bar} {human_pos}/{human_len} {msg}, {eta} left";
        bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_prefix(what);
        bar.set_message(unit);
        let drawn = io::stderr().is_terminal();
        let lines = (!drawn).then(|| (clock, Mutex::new(clock.now())));
        Self { bar, lines, what, unit }
    }

    fn at(&self, place: u64) {
        self.bar.set_position(place);
        let Some((clock, last)) = &self.lines else { return };
        let (now, mut last) = (clock.now(), last.lock().unwrap_or_else(PoisonError::into_inner));
        if now - *last >= EVERY {
            *last = now;
            let of = self.bar.length().map(|length| format!(" of {length}")).unwrap_or_default();
            note!("{place}{of} {} {}", self.unit, self.what);
        }
    }

    fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
