//! Imports: how long one takes beside PostgreSQL's own COPY of the rows it leaves, and what a large one does to the codes
//! right after it.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::Path;
use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Parser as _;
use pos_server::cli::Cli;
use tokio::time::sleep;

use crate::children::{Listening, in_own_session};
use crate::database::{DATABASE_URL, Database};
use crate::fleet::{device_id, merchant, terminal_request};
use crate::http_load::send_all;
use crate::plan::{Bench, CODE, WARM_UP};
use crate::report::{Report, Row};
use crate::sample::Sample;
use crate::wrk::{self, Terminals};

/// The number of the first device that is imported.
const FIRST: u32 = 60_000_000;

/// How many rows are imported beside COPY.
const ROWS: u32 = 100_000;

/// How many rows are imported between codes.
const MANY_ROWS: u32 = 300_000;

/// Devices that ask for codes before and after an import, by their numbers: few, so that a plan made for a small table shows.
const ASKING: Range<u32> = 70_000_000..70_000_100;

/// On how many connections they ask: few for so few devices, or they would wait for each other instead of the database.
const CONNECTIONS: u32 = 8;

/// From one group of codes to the next while devices are imported.
const BETWEEN_CALLS: Duration = Duration::from_millis(200);

/// What an import leaves rows in, each table after those it refers to.
const TABLES: [&str; 4] = ["imports", "import_rows", "devices", "device_events"];

impl Bench<'_> {
    /// Each repetition has databases of its own, so that none pays for the one before.
    pub(crate) async fn imports(&self, report: &mut Report) -> anyhow::Result<()> {
        for repetition in 0..self.options.repetitions {
            self.beside_copy(report, repetition).await?;
            self.around_codes(report, repetition).await?;
        }
        Ok(())
    }

    /// An import, then COPY of all that it left into the same tables with the same indexes of another database.
    async fn beside_copy(&self, report: &mut Report, repetition: u32) -> anyhow::Result<()> {
        let (url, imported) = self.empty_database(&format!("import_{repetition}")).await?;
        let (_, mut copied) = self.empty_database(&format!("copy_{repetition}")).await?;
        imported.settle().await?;
        let elapsed = self.import(&url, FIRST..FIRST + ROWS).await?;
        let mut tables = Vec::new();
        for table in TABLES {
            tables.push((table, imported.copy_out(table).await?));
        }
        copied.settle().await?;
        let copying = copied.copy_in(tables).await?;
        report.add(Row::Copy, rows_within(copying));
        report.add(Row::Import, rows_within(elapsed));
        Ok(())
    }

    /// Codes of a small fleet, an import of many devices, and codes of the same small fleet right after it. Nobody asks
    /// PostgreSQL for statistics in between; it may make some by itself.
    async fn around_codes(&self, report: &mut Report, repetition: u32) -> anyhow::Result<()> {
        let (options, folder) = (self.options, self.folder);
        let name = format!("growing_{repetition}");
        let (url, database) = self.empty_database(&name).await?;
        database.add_pollers(ASKING).await?;
        let mut server = Listening::start_as(&name, "server", folder, &self.variables_over(&url)).await?;
        let asking = || Terminals::new(CONNECTIONS, ASKING.start, ASKING.end - ASKING.start);
        wrk::of_terminals(&mut server, CODE, WARM_UP, asking(), folder).await?;
        let before = wrk::of_terminals(&mut server, CODE, options.measurement(), asking(), folder).await?;
        // Some go on asking meanwhile, as in the field. Plans are then as old as the last of them, not as the last statistics of
        // the small table.
        tokio::select! {
            imported = self.import(&url, FIRST..FIRST + MANY_ROWS) => drop(imported?),
            broken = ask_now_and_then(server.address) => broken?,
        }
        let after = wrk::of_terminals(&mut server, CODE, options.measurement(), asking(), folder).await?;
        report.add(Row::CodesBeforeImport, before);
        report.add(Row::CodesAfterImport, after);
        server.stop().await
    }

    async fn empty_database(&self, name: &str) -> anyhow::Result<(String, Database)> {
        let url = self.database.beside(name).await?;
        let database = Database::connect(&url).await?;
        database.prepare(self.fleet).await?;
        Ok((url, database))
    }

    /// Imports devices with these numbers from a file, by the command, and tells how long that took.
    async fn import(&self, url: &str, devices: Range<u32>) -> anyhow::Result<Duration> {
        let file = self.folder.join("import.csv");
        write_file(&file, devices)?;
        let mut command = in_own_session(std::env::current_exe().context("this program's own file")?);
        command.arg("import").arg(&file).envs(self.variables_over(url)).env(DATABASE_URL, url);
        let started = Instant::now();
        let output = command.stdin(Stdio::null()).output().await.context("the import")?;
        let elapsed = started.elapsed();
        anyhow::ensure!(output.status.success(), "an import failed: {}", String::from_utf8_lossy(&output.stderr));
        fs::remove_file(&file)?;
        Ok(elapsed)
    }
}

/// A few codes at once, again and again; whatever is answered.
async fn ask_now_and_then(address: SocketAddr) -> anyhow::Result<()> {
    loop {
        let calls = ASKING.step_by(5).map(|device| terminal_request(CODE.0, CODE.1, device)).collect();
        send_all(address, CONNECTIONS as usize, calls).await?;
        sleep(BETWEEN_CALLS).await;
    }
}

fn rows_within(elapsed: Duration) -> Sample {
    Sample { answered: ROWS.into(), failed: 0, elapsed, latency: None, cpu: None, memory: None }
}

fn write_file(file: &Path, devices: Range<u32>) -> anyhow::Result<()> {
    let mut text = "device_id,merchant_id,label\n".to_owned();
    let merchant = merchant(0);
    for device in devices {
        writeln!(text, "{},{merchant},Till {device}", device_id(device))?;
    }
    Ok(fs::write(file, text)?)
}

/// The child's side: the command that `pos-server device import` runs.
pub(crate) async fn run_command(file: &Path) -> anyhow::Result<ExitCode> {
    let arguments = ["pos-server", "device", "import"].map(std::ffi::OsStr::new);
    let command = Cli::try_parse_from(arguments.into_iter().chain([file.as_os_str()]))?;
    pos_server::commands::run(command).await
}
