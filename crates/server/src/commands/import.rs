//! `device import` command: upload, progress and report of an import file.

use std::fs::File;
use std::io::{self, IsTerminal as _, Read};
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};
use pos_application::fleet::{ImportFormat, ImportOrder, ImportTotals, Received, Receiver};
use pos_application::support::Authorization;
use pos_domain::fleet::ImportMode;
use pos_port_clock::Clock;
use pos_port_storage::fleet::{Import, RowResult};
use time::{Duration, OffsetDateTime};

use crate::cli;
use crate::output::{Lines, note, out};
use crate::wiring::AdminUseCases;

/// Bytes per read of the file.
const CHUNK_BYTES: usize = 65_536;

/// How often progress is printed if standard error is not a terminal.
const PROGRESS_INTERVAL: Duration = Duration::seconds(5);

/// Runs `device import FILE`: uploads the file, imports it, prints the refused rows.
pub(super) async fn run(admin: &AdminUseCases, how: &cli::Import) -> anyhow::Result<ExitCode> {
    let (file, size) = open(&how.file)?;
    let format = format(how)?;
    let authorization = Authorization::operator();
    let order = ImportOrder { authorization: authorization.clone(), mode: how.mode, key: how.idempotency_key.clone() };
    let receiver = admin.use_cases.fleet.import.receive(order, format).await?;
    let received = receive(receiver, file, &Progress::new(&*admin.clock, "read", "bytes", size))
        .await
        .with_context(|| format!("{}: nothing was imported", how.file.display()))?;
    let progress = Progress::new(&*admin.clock, "processed", "rows", Some(received.import.rows));
    let applied = admin.use_cases.fleet.import.apply(&authorization, &received, &|row| progress.at(row)).await;
    let ended = applied.with_context(|| match &how.idempotency_key {
        Some(_) => "the import was interrupted; run the same command again to resume it".to_owned(),
        None => {
            "the import was interrupted; rows that were provisioned are refused as taken when it is run again (with \
                 --idempotency-key it would resume)"
                .to_owned()
        }
    })?;
    progress.finish();
    let totals = report(admin, &ended, how.json)
        .await
        .context("the import is done, but its report was not printed completely")?;
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
    how.format.or_else(by_name).context("the file name has no known extension: add --format csv or --format jsonl")
}

/// Uploads the file. A failed upload is discarded.
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
    let (mut chunk, mut done) = (vec![0; CHUNK_BYTES], 0_u64);
    loop {
        let read = match file.read(&mut chunk) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error).context("reading the file failed"),
        };
        let Some(bytes) = chunk.get(..read).filter(|bytes| !bytes.is_empty()) else { return Ok(()) };
        receiver.feed(bytes).await?;
        done += bytes.len() as u64;
        progress.at(done);
    }
}

/// Prints the refused rows page by page, and returns the totals.
async fn report(admin: &AdminUseCases, ended: &Import, as_json: bool) -> anyhow::Result<ImportTotals> {
    let import = &admin.use_cases.fleet.import;
    let (files, mut report) = (import.files(), import.report(ended));
    loop {
        let page = report.next_page().await?;
        if page.is_empty() {
            break;
        }
        let mut out = Lines::new();
        for row in page.iter().filter(|row| row.outcome.is_err()) {
            if as_json {
                out.line(files.row_line(row))?;
            } else {
                out.line(plain(row))?;
            }
        }
        out.finish()?;
    }
    let totals = report.totals();
    if as_json {
        out!("{}", files.totals_line(totals))?;
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
    let again = if replayed { " (result of an earlier run with this key)" } else { "" };
    let counts = format!("{rows} rows{again}: {provisioned} provisioned, {refused} refused");
    let next = match (refused, mode) {
        (0, _) => "next: start the terminals; each requests its pairing code",
        (_, ImportMode::AllOrNothing) => {
            "next: fix the rows above that have a reason other than not_imported, and run the import again (with another \
             key, if it has one); or import the valid rows with --mode best_effort"
        }
        (_, ImportMode::BestEffort) => "next: fix the refused rows in a separate file, and import that",
    };
    format!("{counts}\n{next}")
}

/// Progress display: a bar on a terminal, a line at intervals elsewhere.
struct Progress<'c> {
    bar: ProgressBar,
    /// The clock, and when the last line was printed; `None` on a terminal.
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
        let is_terminal = io::stderr().is_terminal();
        let lines = (!is_terminal).then(|| (clock, Mutex::new(clock.now())));
        Self { bar, lines, what, unit }
    }

    fn at(&self, position: u64) {
        self.bar.set_position(position);
        let Some((clock, last)) = &self.lines else { return };
        let (now, mut last) = (clock.now(), last.lock().unwrap_or_else(PoisonError::into_inner));
        if now - *last >= PROGRESS_INTERVAL {
            *last = now;
            let of = self.bar.length().map(|length| format!(" of {length}")).unwrap_or_default();
            note!("{position}{of} {} {}", self.unit, self.what);
        }
    }

    fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
