//! Load of imports: the time of an import compared with PostgreSQL's COPY of the same rows, and the latency of code
//! requests before and right after a large import.

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

use crate::bench::{Bench, WARM_UP};
use crate::database::{DATABASE_URL, Database};
use crate::fleet::{CODE, device_id, merchant, terminal_request};
use crate::http_load::send_all;
use crate::measurement::Measurement;
use crate::processes::{ServerProcess, in_own_session};
use crate::report::{Report, Row};
use crate::wrk::{self, Terminals};

/// The number of the first imported device.
const FIRST: u32 = 60_000_000;

/// Number of rows of the import that is compared with COPY.
const ROWS: u32 = 100_000;

/// Number of rows of the import between code requests.
const MANY_ROWS: u32 = 300_000;

/// Devices that request codes before and after an import. Few, so that a query plan for a small table shows.
const REQUESTING: Range<u32> = 70_000_000..70_000_100;

/// Their number of connections. Few, because with so few devices they would wait for each other and not for the database.
const CONNECTIONS: u32 = 8;

/// Pause between groups of code requests during an import.
const BETWEEN_CALLS: Duration = Duration::from_millis(200);

/// The tables that an import writes to, in the order of their foreign keys.
const TABLES: [&str; 4] = ["imports", "import_rows", "devices", "device_events"];

impl Bench<'_> {
    /// Each repetition has its own databases, so that repetitions are independent.
    pub(crate) async fn imports(&self, report: &mut Report) -> anyhow::Result<()> {
        for repetition in 0..self.options.repetitions {
            self.import_and_copy(report, repetition).await?;
            self.codes_around_import(report, repetition).await?;
        }
        Ok(())
    }

    /// Imports a file, then copies all resulting rows with COPY into the same tables, with the same indexes, of another
    /// database.
    async fn import_and_copy(&self, report: &mut Report, repetition: u32) -> anyhow::Result<()> {
        let (url, imported) = self.empty_database(&format!("import_{repetition}")).await?;
        let (_, mut copied) = self.empty_database(&format!("copy_{repetition}")).await?;
        imported.vacuum_and_checkpoint().await?;
        let elapsed = self.import(&url, FIRST..FIRST + ROWS).await?;
        let mut tables = Vec::new();
        for table in TABLES {
            tables.push((table, imported.copy_out(table).await?));
        }
        copied.vacuum_and_checkpoint().await?;
        let copy_elapsed = copied.copy_in(tables).await?;
        report.add(Row::Copy, rows_within(copy_elapsed));
        report.add(Row::Import, rows_within(elapsed));
        Ok(())
    }

    /// Measures code requests of a small fleet, imports many devices, and measures the same fleet again. There is no
    /// explicit ANALYZE in between; autovacuum may run one.
    async fn codes_around_import(&self, report: &mut Report, repetition: u32) -> anyhow::Result<()> {
        let (options, folder) = (self.options, self.folder);
        let name = format!("growing_{repetition}");
        let (url, database) = self.empty_database(&name).await?;
        database.add_pollers(REQUESTING).await?;
        let mut server = ServerProcess::start_as(&name, "server", folder, &self.variables_for(&url)).await?;
        let terminals = || Terminals::new(CONNECTIONS, REQUESTING.start, REQUESTING.end - REQUESTING.start);
        wrk::run_terminals(&mut server, CODE, WARM_UP, terminals(), folder).await?;
        let before = wrk::run_terminals(&mut server, CODE, options.duration(), terminals(), folder).await?;
        // Some devices continue to request codes, as in production. Cached plans are then as old as the last of these
        // requests, not as the last statistics of the small table.
        tokio::select! {
            imported = self.import(&url, FIRST..FIRST + MANY_ROWS) => drop(imported?),
            broken = request_codes_periodically(server.address) => broken?,
        }
        let after = wrk::run_terminals(&mut server, CODE, options.duration(), terminals(), folder).await?;
        report.add(Row::CodesBeforeImport, before);
        report.add(Row::CodesAfterImport, after);
        server.stop().await
    }

    async fn empty_database(&self, name: &str) -> anyhow::Result<(String, Database)> {
        let url = self.database.create_sibling(name).await?;
        let database = Database::connect(&url).await?;
        database.create_schema(self.fleet).await?;
        Ok((url, database))
    }

    /// Imports devices with these numbers from a file, with the command. Returns how long that took.
    async fn import(&self, url: &str, devices: Range<u32>) -> anyhow::Result<Duration> {
        let file = self.folder.join("import.csv");
        write_file(&file, devices)?;
        let mut command = in_own_session(std::env::current_exe().context("this program's own file")?);
        command.arg("import").arg(&file).envs(self.variables_for(url)).env(DATABASE_URL, url);
        let started = Instant::now();
        let output = command.stdin(Stdio::null()).output().await.context("the import")?;
        let elapsed = started.elapsed();
        anyhow::ensure!(output.status.success(), "an import failed: {}", String::from_utf8_lossy(&output.stderr));
        fs::remove_file(&file)?;
        Ok(elapsed)
    }
}

/// Sends a few code requests at once, repeatedly, and ignores the responses.
async fn request_codes_periodically(address: SocketAddr) -> anyhow::Result<()> {
    loop {
        let calls = REQUESTING.step_by(5).map(|device| terminal_request(CODE.0, CODE.1, device)).collect();
        send_all(address, CONNECTIONS as usize, calls).await?;
        sleep(BETWEEN_CALLS).await;
    }
}

fn rows_within(elapsed: Duration) -> Measurement {
    Measurement { answered: ROWS.into(), failed: 0, elapsed, latency: None, cpu: None, memory: None }
}

fn write_file(file: &Path, devices: Range<u32>) -> anyhow::Result<()> {
    let mut text = "device_id,merchant_id,label\n".to_owned();
    let merchant = merchant(0);
    for device in devices {
        writeln!(text, "{},{merchant},Till {device}", device_id(device))?;
    }
    Ok(fs::write(file, text)?)
}

/// Called in the child: runs the command `pos-server device import`.
pub(crate) async fn run_command(file: &Path) -> anyhow::Result<ExitCode> {
    let arguments = ["pos-server", "device", "import"].map(std::ffi::OsStr::new);
    let command = Cli::try_parse_from(arguments.into_iter().chain([file.as_os_str()]))?;
    pos_server::commands::run(command).await
}
