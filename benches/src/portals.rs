//! Load of portal requests, with and without thousands of terminals that call bootstrap at once, as after a power failure.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::json;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::sleep_until;

use crate::bench::{Bench, WARM_UP};
use crate::database::Database;
use crate::fleet::device_id;
use crate::http_load::{exchange, send_all};
use crate::measurement::{Latency, Measurement};
use crate::processes::ServerProcess;
use crate::report::{Report, Row};

/// The number of the first terminal.
const FIRST: u32 = 80_000_000;

/// Number of terminals that call at once, each on its own connection.
const TERMINALS: u32 = 3_500;

/// Least time between the starts of two waves of calls.
const BETWEEN_WAVES: Duration = Duration::from_secs(1);

/// Number of portals, each of which sends the next request after the response.
const PORTALS: usize = 4;

/// A portal's request: a page of its merchant's devices.
const PAGE: (&str, &str) = ("GET", "/merchant/devices");

impl Bench<'_> {
    /// Uses its own database and server, because the memory of thousands of connections must not count for the run.
    pub(crate) async fn portals(&self, report: &mut Report) -> anyhow::Result<()> {
        let (options, folder) = (self.options, self.folder);
        let url = self.database.create_sibling("portals").await?;
        let database = Database::connect(&url).await?;
        database.create_schema(self.fleet).await?;
        database.add_pollers(FIRST..FIRST + TERMINALS).await?;
        database.vacuum_and_checkpoint().await?;
        let mut server = ServerProcess::start_as("portals", "server", folder, &self.variables_for(&url)).await?;
        let session = json!({ "host": "merchant.viopay.io" });
        let initiate = self.portal.request(0, ("POST", "/session/initiate"), Some(&session))?;
        send_all(server.address, 1, vec![initiate]).await?.ensure_success("sessions")?;
        let page = self.portal.request(0, PAGE, None)?;
        let mut terminals = Terminals::connect(server.address).await?;
        request_pages(&mut server, &page, WARM_UP).await?;
        terminals.run_for(WARM_UP).await?;
        for _ in 0..options.repetitions {
            let length = options.duration();
            report.add(Row::PortalAlone, request_pages(&mut server, &page, length).await?);
            let (pages, bootstraps) =
                tokio::join!(request_pages(&mut server, &page, length), terminals.run_for(length));
            report.add(Row::PortalDuringBootstraps, pages?);
            report.add(Row::Bootstraps, bootstraps?);
        }
        drop(terminals);
        server.stop().await
    }
}

/// Requests the page repeatedly, with [`PORTALS`] connections.
async fn request_pages(server: &mut ServerProcess, page: &[u8], length: Duration) -> anyhow::Result<Measurement> {
    let cpu_before = server.cpu_time()?;
    let started = Instant::now();
    let mut portals = JoinSet::new();
    for _ in 0..PORTALS {
        let (address, page) = (server.address, page.to_vec());
        portals.spawn(async move {
            let mut stream = connect(address).await?;
            let (mut responses, mut buffer) = (Vec::new(), Vec::new());
            while started.elapsed() < length {
                let sent = Instant::now();
                let status = exchange(&mut stream, &page, &mut buffer).await?;
                responses.push((status, sent.elapsed()));
            }
            anyhow::Ok(responses)
        });
    }
    let mut responses = Vec::new();
    while let Some(done) = portals.join_next().await {
        responses.extend(done.context("a portal's task")??);
    }
    let elapsed = started.elapsed();
    server.check_alive()?;
    let cpu = Some(server.cpu_time()?.since(cpu_before));
    Ok(Measurement { cpu, ..measurement(responses, elapsed, |status| status / 100 == 2) })
}

fn measurement(responses: Vec<(u16, Duration)>, elapsed: Duration, is_success: fn(u16) -> bool) -> Measurement {
    let failed = responses.iter().filter(|(status, _)| !is_success(*status)).count() as u64;
    let answered = responses.len() as u64;
    let latency = Latency::of(responses.into_iter().map(|(_, latency)| latency).collect());
    Measurement { answered, failed, elapsed, latency, cpu: None, memory: None }
}

async fn connect(address: SocketAddr) -> anyhow::Result<TcpStream> {
    let stream = TcpStream::connect(address).await.context("the server accepts no connection")?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Terminals with open connections.
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

    /// Sends waves of calls for `length`. A 503 does not count as a failure.
    async fn run_for(&mut self, length: Duration) -> anyhow::Result<Measurement> {
        let started = Instant::now();
        let mut responses = Vec::new();
        while started.elapsed() < length {
            let next = Instant::now() + BETWEEN_WAVES;
            responses.extend(self.send_wave().await?);
            sleep_until(next.into()).await;
        }
        Ok(measurement(responses, started.elapsed(), |status| status / 100 == 2 || status == 503))
    }

    /// Sends one call of every terminal at once, each with a new app version, which the server must store.
    async fn send_wave(&mut self) -> anyhow::Result<Vec<(u16, Duration)>> {
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
        let mut responses = Vec::new();
        while let Some(done) = calls.join_next().await {
            let (terminal, response) = done.context("a terminal's task")??;
            self.streams.push(terminal);
            responses.push(response);
        }
        Ok(responses)
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
