//! A portal's requests while thousands of terminals call bootstrap at once, as after a power cut, beside the same requests
//! without them.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::json;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::sleep_until;

use crate::children::Listening;
use crate::database::Database;
use crate::fleet::device_id;
use crate::http_load::{exchange, send_all};
use crate::plan::{Bench, WARM_UP};
use crate::report::{Report, Row};
use crate::sample::{Latency, Sample};

/// The number of the first terminal.
const FIRST: u32 = 80_000_000;

/// How many terminals call at once, each on a connection of its own.
const TERMINALS: u32 = 3_500;

/// From one wave of calls to the next, at least.
const BETWEEN_WAVES: Duration = Duration::from_secs(1);

/// How many portals ask, each for the next page once it has the one before.
const PORTALS: usize = 4;

/// What a portal asks for: a page of its merchant's devices.
const PAGE: (&str, &str) = ("GET", "/merchant/devices");

impl Bench<'_> {
    /// A database and a server of its own: what many connections take of memory is not the run's to judge.
    pub(crate) async fn portals(&self, report: &mut Report) -> anyhow::Result<()> {
        let (options, folder) = (self.options, self.folder);
        let url = self.database.beside("portals").await?;
        let database = Database::connect(&url).await?;
        database.prepare(self.fleet).await?;
        database.add_pollers(FIRST..FIRST + TERMINALS).await?;
        database.settle().await?;
        let mut server = Listening::start_as("portals", "server", folder, &self.variables_over(&url)).await?;
        let session = json!({ "host": "merchant.viopay.io" });
        let initiate = self.portal.request(0, ("POST", "/session/initiate"), Some(&session))?;
        send_all(server.address, 1, vec![initiate]).await?.all_well("sessions")?;
        let page = self.portal.request(0, PAGE, None)?;
        let mut terminals = Terminals::connect(server.address).await?;
        ask(&mut server, &page, WARM_UP).await?;
        terminals.call_for(WARM_UP).await?;
        for _ in 0..options.repetitions {
            let length = options.measurement();
            report.add(Row::PortalAlone, ask(&mut server, &page, length).await?);
            let (beside, bootstraps) = tokio::join!(ask(&mut server, &page, length), terminals.call_for(length));
            report.add(Row::PortalBesideBootstraps, beside?);
            report.add(Row::Bootstraps, bootstraps?);
        }
        drop(terminals);
        server.stop().await
    }
}

/// Asks for the page again and again, by so many portals as there are.
async fn ask(server: &mut Listening, page: &[u8], length: Duration) -> anyhow::Result<Sample> {
    let cpu_before = server.cpu_time()?;
    let started = Instant::now();
    let mut portals = JoinSet::new();
    for _ in 0..PORTALS {
        let (address, page) = (server.address, page.to_vec());
        portals.spawn(async move {
            let mut stream = connect(address).await?;
            let (mut seen, mut buffer) = (Vec::new(), Vec::new());
            while started.elapsed() < length {
                let asked = Instant::now();
                let status = exchange(&mut stream, &page, &mut buffer).await?;
                seen.push((status, asked.elapsed()));
            }
            anyhow::Ok(seen)
        });
    }
    let mut seen = Vec::new();
    while let Some(done) = portals.join_next().await {
        seen.extend(done.context("a portal's task")??);
    }
    let elapsed = started.elapsed();
    server.check_alive()?;
    Ok(Sample { cpu: Some(server.cpu_time()?.since(cpu_before)), ..sample(seen, elapsed, |status| status / 100 == 2) })
}

fn sample(seen: Vec<(u16, Duration)>, elapsed: Duration, is_well: fn(u16) -> bool) -> Sample {
    let failed = seen.iter().filter(|(status, _)| !is_well(*status)).count() as u64;
    let answered = seen.len() as u64;
    let latency = Latency::of(seen.into_iter().map(|(_, latency)| latency).collect());
    Sample { answered, failed, elapsed, latency, cpu: None, memory: None }
}

async fn connect(address: SocketAddr) -> anyhow::Result<TcpStream> {
    let stream = TcpStream::connect(address).await.context("the server accepts no connection")?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Terminals that have their connections open.
struct Terminals {
    streams: Vec<(u32, TcpStream)>,
    wave: u32,
}

impl Terminals {
    async fn connect(address: SocketAddr) -> anyhow::Result<Self> {
        let mut streams = Vec::new();
        for device in FIRST..FIRST + TERMINALS {
            streams.push((device, connect(address).await?));
        }
        Ok(Self { streams, wave: 0 })
    }

    /// Sends waves of requests for so long. A 503 counts as no failure of the load.
    async fn call_for(&mut self, length: Duration) -> anyhow::Result<Sample> {
        let started = Instant::now();
        let mut seen = Vec::new();
        while started.elapsed() < length {
            let next = Instant::now() + BETWEEN_WAVES;
            seen.extend(self.call_at_once().await?);
            sleep_until(next.into()).await;
        }
        Ok(sample(seen, started.elapsed(), |status| status / 100 == 2 || status == 503))
    }

    /// All of them at once, each with a version of its application that the server has not seen, and has to note.
    async fn call_at_once(&mut self) -> anyhow::Result<Vec<(u16, Duration)>> {
        self.wave += 1;
        let wave = self.wave;
        let mut calls = JoinSet::new();
        for (device, mut stream) in self.streams.drain(..) {
            calls.spawn(async move {
                let called = Instant::now();
                let status = exchange(&mut stream, &bootstrap(device, wave), &mut Vec::new()).await?;
                anyhow::Ok(((device, stream), (status, called.elapsed())))
            });
        }
        let mut seen = Vec::new();
        while let Some(done) = calls.join_next().await {
            let (terminal, answer) = done.context("a terminal's task")??;
            self.streams.push(terminal);
            seen.push(answer);
        }
        Ok(seen)
    }
}

fn bootstrap(device: u32, wave: u32) -> Vec<u8> {
    let id = device_id(device);
    format!(
        "POST /pos/bootstrap HTTP/1.1\r\nHost: localhost\r\nX-Device-Id: {id}\r\n\
         User-Agent: Viopay-POS/1.5.{wave} (Android 12; PAX-A920)\r\nX-Client-Type: pos\r\n\r\n"
    )
    .into_bytes()
}
